//! `runnel repair`: a restored table is made one that may serve.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the words of a command to the person who gave it"
)]

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::bail;
use domain::limits::INBOX_DAYS;
use server::{
    aws::{self, Endpoints},
    clock::Clock,
    telemetry::{self, LogFormat},
};
use store::{repair::Note, table::Table};

/// Rows between two words on how far it has got.
const WORD: usize = 10_000;

/// Repairs the table `name`, or with `dry` only says what it would do: one line for each row on
/// stdout. How far it has got, and what it came to, is told on stderr.
///
/// # Errors
/// One sentence that says what to do.
pub async fn repair(name: &str, dry: bool, endpoints: &Endpoints) -> anyhow::Result<()> {
    telemetry::init(LogFormat::Text);
    let aws = aws::dynamodb(endpoints).await?;
    let table = Table::open((&aws).into(), name, INBOX_DAYS).await?;
    let looked = AtomicUsize::new(0);
    let tell = |note: Note<'_>| match note {
        Note::Put(key) if dry => println!("put {key}"),
        Note::Delete(key) if dry => println!("delete {key}"),
        Note::Put(_) | Note::Delete(_) => {}
        Note::PassedOver(error) => {
            let why = std::error::Error::source(error).map(|why| format!(": {why}")).unwrap_or_default();
            eprintln!("{error}{why}: passed over: fix or delete it");
        }
        Note::Looked(rows) => {
            let before = looked.fetch_add(rows, Ordering::Relaxed);
            if before / WORD < (before + rows) / WORD {
                eprintln!("{} rows looked at", before + rows);
            }
        }
    };
    let report = table.repair(Clock::system().now(), dry, &tell).await?;
    let (put, deleted, would) = (report.put, report.deleted, if dry { "to be " } else { "" });
    eprintln!("`{name}`: {put} rows {would}written, {deleted} {would}deleted");
    match report.passed_over {
        0 => Ok(()),
        many => {
            bail!(
                "{many} threads or users are damaged: fix or delete the rows above, then run the repair again"
            )
        }
    }
}
