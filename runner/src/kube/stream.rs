//! The stream to a prober: an exec of its `relay` through the API server, as one reader and writer.

use super::{
    Kube, failure,
    object::{CONTAINER, socket},
};
use crate::cluster::{ClusterError, PodName, Stream};
use futures::{
    FutureExt,
    future::{BoxFuture, FusedFuture, Shared},
};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{AttachParams, AttachedProcess},
};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, ReadHalf, SimplexStream, WriteHalf},
    time::timeout,
};

/// Limit for the hello of a prober, which it sends as soon as the stream is open.
const HELLO_DEADLINE: Duration = Duration::from_secs(10);

/// The buffer between the web socket and its user, in each direction.
const BUFFER_BYTES: usize = 32 * 1024;

/// Limit for the end of stderr after that of stdout; both end with the same process.
const COMPLAINT_DEADLINE: Duration = Duration::from_secs(1);

/// The most bytes of a hello; a real one is shorter.
const FIRST_BYTES: usize = 4096;

/// How much is kept of what `relay` prints on stderr.
const STDERR_BYTES: u64 = 2048;

/// The relay's last message, once it has ended or its connection is lost; may be awaited in several places.
type End = Shared<BoxFuture<'static, Option<String>>>;

/// Both halves of a relay's stream. The relay ends when this is dropped.
///
/// The pipes do not show that the task which moves the bytes has failed, so both directions check `end`, too.
struct Relay {
    /// What was read while waiting for the prober's hello.
    first: io::Cursor<Vec<u8>>,
    stdout: ReadHalf<SimplexStream>,
    stdin: WriteHalf<SimplexStream>,
    ended_for_reading: End,
    ended_for_writing: End,
    /// Its task moves the bytes; dropping it ends the task, and with it the connection.
    _process: AttachedProcess,
}

impl Kube {
    /// Attaches to a prober and returns once it has said hello.
    pub(super) async fn open_stream(&self, pod: &PodName) -> Result<Box<dyn Stream>, ClusterError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace);
        let parameters = AttachParams::default()
            .container(CONTAINER)
            .stdin(true)
            .stdout(true)
            .stderr(true)
            .max_stdin_buf_size(BUFFER_BYTES)
            .max_stdout_buf_size(BUFFER_BYTES);
        let name = socket(pod);
        let exec =
            api.exec(&pod.name, [self.around().delivery.program(), "relay", "--socket", &name], &parameters);
        let mut process = match timeout(failure::REQUEST_DEADLINE, exec).await {
            Ok(Ok(process)) => process,
            Ok(Err(error)) => return Err(self.why_not(pod, &failure::chain(&error)).await),
            Err(_) => {
                return Err(self.why_not(pod, "the API server did not open the stream in time").await);
            }
        };
        let complaint = tokio::spawn(last_words(process.stderr()));
        let mut relay = Relay::new(process).ok_or_else(|| ClusterError::Failed {
            context: format!("cannot attach to the prober of pod {pod}"),
            message: "the exec stream has not all its halves".into(),
        })?;
        // A separate clone, because a `Shared` that has completed cannot be polled again.
        let ended = relay.ended_for_reading.clone();
        let mut first = vec![0; FIRST_BYTES];
        match timeout(HELLO_DEADLINE, relay.read(&mut first)).await {
            Ok(Ok(count)) if count > 0 => {
                first.truncate(count);
                relay.first = io::Cursor::new(first);
                Ok(Box::new(relay))
            }
            Ok(_) => {
                // The stream ended before a hello. The relay's message is already there, or comes now.
                let status = ended.now_or_never().flatten();
                let complaint = timeout(COMPLAINT_DEADLINE, complaint).await;
                let message = match complaint {
                    Ok(Ok(complaint)) if !complaint.is_empty() => complaint,
                    _ => status.unwrap_or_else(|| "the stream ended before the prober spoke".into()),
                };
                Err(self.why_not(pod, &message).await)
            }
            Err(_) => {
                let message = "the prober does not speak: is it stopped, or starved of CPU?";
                Err(self.why_not(pod, message).await)
            }
        }
    }

    /// Looks at the pod to find out why its prober cannot be attached.
    async fn why_not(&self, pod: &PodName, message: &str) -> ClusterError {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace);
        let found = match failure::request(&format!("read pod {pod}"), api.get_opt(&pod.name)).await {
            Ok(found) => found,
            Err(error) => return error,
        };
        let ended = |object: &Pod| {
            let phase = object.status.as_ref().and_then(|status| status.phase.as_deref());
            object.metadata.deletion_timestamp.is_some() || matches!(phase, Some("Failed" | "Succeeded"))
        };
        match found {
            Some(object) if !ended(&object) => ClusterError::Failed {
                context: format!("cannot attach to the prober of pod {pod}"),
                message: message.to_owned(),
            },
            _ => ClusterError::PodGone { pod: pod.clone() },
        }
    }
}

/// Reads stderr to its end, because the stream would stall otherwise, and keeps the beginning.
async fn last_words(stderr: Option<ReadHalf<SimplexStream>>) -> String {
    let Some(stderr) = stderr else { return String::new() };
    let mut words = Vec::new();
    let mut stderr = stderr.take(STDERR_BYTES);
    // An error counts as the end of the stream; what was read before is kept.
    let _ = stderr.read_to_end(&mut words).await;
    let words = String::from_utf8_lossy(&words).trim().to_owned();
    let _ = tokio::io::copy(&mut stderr.into_inner(), &mut tokio::io::sink()).await;
    words
}

impl Relay {
    fn new(mut process: AttachedProcess) -> Option<Self> {
        let end =
            process.take_status()?.map(|status| status.and_then(|status| status.message)).boxed().shared();
        Some(Self {
            first: io::Cursor::default(),
            stdout: process.stdout()?,
            stdin: process.stdin()?,
            ended_for_reading: end.clone(),
            ended_for_writing: end,
            _process: process,
        })
    }
}

impl AsyncRead for Relay {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let first = Pin::new(&mut self.first).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            return first;
        }
        if let Poll::Ready(read) = Pin::new(&mut self.stdout).poll_read(cx, buffer) {
            return Poll::Ready(read);
        }
        // A finished `Shared` must not be polled again.
        if !self.ended_for_reading.is_terminated() {
            ready!(self.ended_for_reading.poll_unpin(cx));
        }
        // Everything that came before the end is in the pipe by now. If the pipe is empty, this is the end of the stream.
        match Pin::new(&mut self.stdout).poll_read(cx, buffer) {
            Poll::Ready(read) => Poll::Ready(read),
            Poll::Pending => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Relay {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let ended =
            self.ended_for_writing.is_terminated() || self.ended_for_writing.poll_unpin(cx).is_ready();
        if ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.stdin).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdin).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdin).poll_shutdown(cx)
    }
}
