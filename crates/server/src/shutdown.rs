//! The two signals that ask a process to stop.

use std::io;

use tokio::signal::unix::{SignalKind, signal as listen};

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
