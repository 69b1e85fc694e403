//! The stream to a runner: lines in, lines out, with bounded memory for both.

use flowproof_wire::{Command, Event, MAX_LINE_BYTES};
use std::io;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    select,
};

/// When this many bytes of answers wait to be written, no further command is read, so that a runner that asks but does not
/// read costs no memory. Reports do not count, so that a runner may send a long command before it reads.
const ANSWERS_GATE: usize = 64 * 1024;

/// Buffers that grew beyond this for one long line are freed after it.
const KEPT_CAPACITY: usize = 256 * 1024;

/// What happened on a stream.
#[derive(Debug)]
pub(crate) enum Happening {
    /// A line came; the error is a message for people.
    Line(Result<Command, String>),
    /// A line came that is longer than [`MAX_LINE_BYTES`].
    TooLong,
    /// Everything was written.
    Written,
    /// The stream is over.
    Ended,
}

/// How many bytes moved, and in which direction.
enum Moved {
    In(usize),
    Out(usize),
}

/// One stream, both directions.
pub(crate) struct Link {
    reader: Box<dyn AsyncRead + Unpin>,
    writer: Box<dyn AsyncWrite + Unpin>,
    input: Vec<u8>,
    /// How much of the input is known to contain no end of line.
    scanned: usize,
    output: Vec<u8>,
    written: usize,
    /// How much of the output is not a report.
    answers: usize,
    closing: bool,
}

impl Link {
    /// Takes over both halves of a stream.
    pub(crate) fn new(
        reader: impl AsyncRead + Unpin + 'static,
        writer: impl AsyncWrite + Unpin + 'static,
    ) -> Self {
        Self {
            reader: Box::new(reader),
            writer: Box::new(writer),
            input: Vec::new(),
            scanned: 0,
            output: Vec::new(),
            written: 0,
            answers: 0,
            closing: false,
        }
    }

    /// Queues an event.
    pub(crate) fn send(&mut self, event: &Event) {
        let before = self.output.len();
        serde_json::to_writer(&mut self.output, event).expect("an event is valid JSON and memory takes it");
        self.output.push(b'\n');
        if !matches!(event, Event::Report(_)) {
            self.answers += self.output.len() - before;
        }
    }

    /// Says whether everything that was queued is written.
    pub(crate) fn is_idle(&self) -> bool {
        self.output.is_empty()
    }

    /// Ends the stream as soon as everything is written; nothing is read any more.
    pub(crate) fn close(&mut self) {
        self.closing = true;
        self.input.clear();
    }

    /// Waits for what happens next. May be canceled at any point without losing anything.
    pub(crate) async fn next(&mut self) -> Happening {
        loop {
            if self.closing && self.output.is_empty() {
                return Happening::Ended;
            }
            let reading = self.closing || self.answers < ANSWERS_GATE;
            if reading && let Some(line) = self.take_line() {
                return line;
            }
            let Self { reader, writer, input, output, written, .. } = self;
            let moved = select! {
                read = reader.read_buf(input), if reading => read.map(Moved::In),
                write = writer.write(&output[*written..]), if !output.is_empty() => write.map(Moved::Out),
            };
            match moved {
                Ok(Moved::In(0) | Moved::Out(0)) => return Happening::Ended,
                Ok(Moved::In(_)) if self.closing => self.input.clear(),
                Ok(Moved::In(_)) => {}
                Ok(Moved::Out(count)) => {
                    self.written += count;
                    if self.written == self.output.len() {
                        (self.written, self.answers) = (0, 0);
                        self.output.clear();
                        self.output.shrink_to(KEPT_CAPACITY);
                        return Happening::Written;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Happening::Ended,
            }
        }
    }

    fn take_line(&mut self) -> Option<Happening> {
        if self.closing {
            return None;
        }
        let Some(end) = self.input[self.scanned..].iter().position(|byte| *byte == b'\n') else {
            self.scanned = self.input.len();
            return (self.scanned > MAX_LINE_BYTES).then_some(Happening::TooLong);
        };
        let end = self.scanned + end;
        if end > MAX_LINE_BYTES {
            return Some(Happening::TooLong);
        }
        let command =
            serde_json::from_slice(&self.input[..end]).map_err(|error| format!("not a command: {error}"));
        self.input.drain(..=end);
        self.input.shrink_to(KEPT_CAPACITY);
        self.scanned = 0;
        Some(Happening::Line(command))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::duplex;

    fn link(stream: tokio::io::DuplexStream) -> Link {
        let (reader, writer) = tokio::io::split(stream);
        Link::new(reader, writer)
    }

    fn alone(future: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future);
    }

    #[test]
    fn lines_come_one_by_one_however_they_are_cut() {
        alone(async {
            let (mut runner, prober) = duplex(64);
            let mut link = link(prober);
            runner.write_all(b"\"quit\"\nnonsense\n{\"ping\":{\"i").await.expect("it fits");
            assert!(matches!(link.next().await, Happening::Line(Ok(Command::Quit))));
            assert!(
                matches!(link.next().await, Happening::Line(Err(message)) if message.starts_with("not a command"))
            );
            runner.write_all(b"d\":4}}\n").await.expect("it fits");
            assert!(matches!(link.next().await, Happening::Line(Ok(Command::Ping { id: 4 }))));
            drop(runner);
            assert!(matches!(link.next().await, Happening::Ended));
        });
    }

    #[test]
    fn a_line_that_never_ends_is_too_long() {
        alone(async {
            let (mut runner, prober) = duplex(1 << 20);
            let mut link = link(prober);
            let writing = async {
                // The prober stops reading in the middle; how far this came does not matter.
                let _ = runner.write_all(&vec![b' '; MAX_LINE_BYTES + 1]).await;
                std::future::pending::<()>().await;
            };
            let happening =
                select! { happening = link.next() => happening, () = writing => Happening::Written };
            assert!(matches!(happening, Happening::TooLong));
        });
    }

    #[test]
    fn a_runner_that_does_not_read_is_not_read_from_either() {
        alone(async {
            let (mut runner, prober) = duplex(1024);
            let mut link = link(prober);
            let event = Event::Refused { message: "x".repeat(ANSWERS_GATE) };
            link.send(&event);
            runner.write_all(b"\"quit\"\n").await.expect("it fits");
            let mut read = vec![0; 2048];
            select! {
                biased;
                happening = link.next() => panic!("{happening:?}"),
                () = async { runner.read_exact(&mut read).await.expect("the event's start"); } => {}
            }
            assert!(!link.is_idle());
            // Once the runner reads again, the command is taken.
            let mut rest = vec![0; 1 << 20];
            select! {
                happening = link.next() => assert!(matches!(happening, Happening::Written), "{happening:?}"),
                () = async { loop { let _ = runner.read(&mut rest).await; } } => {}
            }
            assert!(matches!(link.next().await, Happening::Line(Ok(Command::Quit))));
        });
    }
}
