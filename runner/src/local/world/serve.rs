//! The world's loop: takes requests from the runner and answers them, until the runner is gone.

use super::{
    channel::{self, Inbox},
    message::{Answer, Numbered, Request, SETUP_ID},
    state::World,
};
use crate::local::object::Refusal;
use std::{
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::ExitCode,
    sync::{Arc, mpsc as blocking},
    thread::{self, JoinHandle},
};
use tokio::sync::mpsc;

/// An answer, and the descriptor that goes with it if there is one.
pub(crate) type Reply = (Answer, Option<OwnedFd>);

/// Serves one runner. Everything that is created here ends with this process.
pub(super) fn serve(stream: UnixStream) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return give_up(&stream, "start its event loop", &error.to_string()),
    };
    let incoming = match stream.try_clone() {
        Ok(incoming) => incoming,
        Err(error) => return give_up(&stream, "listen to the runner", &error.to_string()),
    };
    runtime.block_on(answer_all(incoming, stream))
}

async fn answer_all(incoming: UnixStream, outgoing: UnixStream) -> ExitCode {
    let mut requests = read_requests(incoming);
    let (answers, writer) = write_answers(outgoing);
    let world = match requests.recv().await {
        Some(Numbered { body: Request::Setup(setup), .. }) => match World::new(setup).await {
            Ok((world, ready)) => {
                post(&answers, SETUP_ID, (ready, None));
                Arc::new(world)
            }
            Err(refusal) => {
                post(&answers, SETUP_ID, (Answer::Refused(refusal), None));
                drop(answers);
                // The process must not end before its last answer is written. If the writer panicked, there is nothing to wait for.
                let _ = writer.join();
                return ExitCode::FAILURE;
            }
        },
        _ => return ExitCode::FAILURE,
    };
    while let Some(Numbered { id, body }) = requests.recv().await {
        let (world, answers) = (Arc::clone(&world), answers.clone());
        tokio::spawn(async move {
            let reply = world.answer(body).await.unwrap_or_else(|refusal| (Answer::Refused(refusal), None));
            post(&answers, id, reply);
        });
    }
    ExitCode::SUCCESS
}

type Outbox = blocking::Sender<(Numbered<Answer>, Option<OwnedFd>)>;

fn post(answers: &Outbox, id: u64, (body, with): Reply) {
    // This fails only without a runner, and then the world is about to end.
    let _ = answers.send((Numbered { id, body }, with));
}

fn read_requests(stream: UnixStream) -> mpsc::UnboundedReceiver<Numbered<Request>> {
    let (sender, requests) = mpsc::unbounded_channel();
    thread::spawn(move || {
        let mut inbox = Inbox::new(stream);
        while let Ok(Some(request)) = inbox.next() {
            if sender.send(request).is_err() {
                return;
            }
        }
    });
    requests
}

fn write_answers(stream: UnixStream) -> (Outbox, JoinHandle<()>) {
    let (sender, answers) = blocking::channel::<(Numbered<Answer>, Option<OwnedFd>)>();
    let writer = thread::spawn(move || {
        for (answer, with) in answers {
            if channel::send(&stream, &answer, with).is_err() {
                return;
            }
        }
    });
    (sender, writer)
}

fn give_up(stream: &UnixStream, doing: &str, why: &str) -> ExitCode {
    let body = Answer::Refused(Refusal::Failed {
        context: format!("the local cluster could not {doing}"),
        message: why.to_owned(),
    });
    // If this fails, too, nobody is left to report it to.
    let _ = channel::send(stream, &Numbered { id: SETUP_ID, body }, None);
    ExitCode::FAILURE
}
