//! How a process ends: silently, or with a sentence for the person who started it.

use std::{error::Error, iter, process::ExitCode};

/// The exit code of `program`: 0, or 1 after one line on stderr that holds the error and its
/// causes.
#[expect(clippy::print_stderr, reason = "the last word of a command to the person who gave it")]
pub fn code<E: Into<Box<dyn Error + Send + Sync>>>(program: &str, done: Result<(), E>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{program}: {}", line(&*error.into()));
            ExitCode::FAILURE
        }
    }
}

/// Causes may be written over several lines, and may be told by the error itself already.
fn line(error: &(dyn Error + 'static)) -> String {
    let mut line = String::new();
    for cause in iter::successors(Some(error), |&error| error.source()) {
        let told = cause.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        if !line.ends_with(&told) {
            line += if line.is_empty() { "" } else { ": " };
            line += &told;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot do it:\n  {source}")]
    struct Outer {
        source: io::Error,
    }

    #[test]
    fn an_error_and_its_causes_are_one_line_that_repeats_nothing() {
        let error = Outer { source: io::Error::other("no\nspace") };
        assert_eq!(line(&error), "cannot do it: no space");
        let cause = io::Error::other("why");
        assert_eq!(line(&io::Error::other(Outer { source: cause })), "cannot do it: why");
    }
}
