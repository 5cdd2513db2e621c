//! The two signals that ask a process to stop, and how long it may then take.

use std::{io, time::Duration};

use tokio::{
    signal::unix::{SignalKind, signal as listen},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// How long what is at work at the stop may take. Orchestrators kill after 10 to 30 s.
const GRACE: Duration = Duration::from_secs(5);

/// Starts listening for SIGTERM (what an orchestrator sends) and SIGINT (Ctrl-C) at once; the future ends with the name of the first
/// that comes.
///
/// # Errors
/// When the process may not install a handler.
pub fn signal() -> io::Result<impl Future<Output = &'static str>> {
    // Registered here and not in the future: a signal between this call and the first poll must not kill the process.
    let mut term = listen(SignalKind::terminate())?;
    let mut int = listen(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = term.recv() => "SIGTERM",
            _ = int.recv() => "SIGINT",
        }
    })
}

/// Does `work`, which watches `stop`, until it ends. `stop` is cancelled once `stopped` has come, and what then takes
/// too long, such as a call to AWS that nobody answers, is dropped: whatever a process can leave undone when it dies
/// is taken up by others.
pub async fn end_in_time(stopped: impl Future, stop: &CancellationToken, work: impl Future) {
    let patience = async {
        stopped.await;
        stop.cancel();
        sleep(GRACE).await;
    };
    tokio::select! {
        _ = work => {}
        () = patience => tracing::warn!("stopped before its tasks: they have not ended within {} s", GRACE.as_secs()),
    }
}
