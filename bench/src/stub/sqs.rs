//! Queues: an envelope is given once, at most ten at a time, and a receive waits for the first.

use std::{
    collections::{HashMap, VecDeque},
    fmt::Write as _,
    net::SocketAddr,
    time::{SystemTime, UNIX_EPOCH},
};

use domain::limits;
use serde_json::json;

use super::truth::Truth;
use crate::clock::now;

/// Most envelopes in one answer.
const BATCH: usize = 10;

/// All queues.
#[derive(Debug)]
pub(crate) struct Queues {
    address: SocketAddr,
    by_id: HashMap<String, Queue>,
    given: u64,
}

#[derive(Debug, Default)]
struct Queue {
    /// Messages as an answer has them, without what differs each time.
    waiting: VecDeque<String>,
    /// Who waits for one, and until when.
    waiters: VecDeque<(u64, u64)>,
}

/// What becomes of a call.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The answer.
    Now(String),
    /// It waits.
    Later,
}

impl Queues {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, by_id: HashMap::new(), given: 0 }
    }

    pub(crate) fn call(&mut self, call: &str, body: &[u8], conn: u64) -> Answer {
        if call == "DeleteMessageBatch" {
            // Given once, so nothing is left to be deleted.
            return Answer::Now(deleted(body));
        }
        let asked: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        match call {
            "ReceiveMessage" => self.receive(id(asked["QueueUrl"].as_str().unwrap_or_default()), conn),
            "CreateQueue" => {
                let name = asked["QueueName"].as_str().unwrap_or_default();
                let url = format!("http://{}/000000000000/{name}", self.address);
                self.by_id.entry(id(name).to_owned()).or_default();
                Answer::Now(json!({"QueueUrl": url}).to_string())
            }
            _ => Answer::Now("{}".to_owned()),
        }
    }

    fn receive(&mut self, queue: &str, conn: u64) -> Answer {
        let queue = self.by_id.entry(queue.to_owned()).or_default();
        if queue.waiting.is_empty() {
            queue.waiters.push_back((conn, now() + limits::QUEUE_WAIT.as_nanos() as u64));
            return Answer::Later;
        }
        Answer::Now(give(queue, &mut self.given))
    }

    /// Posts an event to the queues of its users, as the API does: one envelope for up to
    /// [`limits::ENVELOPE_RECIPIENTS`] of a queue.
    pub(crate) fn post(&mut self, truth: &Truth, users: &[usize], line: &str) {
        // One at a time of an edge's queue, in which most recipients are: this is none of the edge's time.
        let mut open: Vec<(&str, usize, String)> = Vec::new();
        let data = line.replace('"', "\\\"");
        let sent = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let mut digits = itoa::Buffer::new();
        for user in users {
            let user = truth.user(*user);
            for queue in user.queues() {
                let at = open.iter().position(|(of, ..)| *of == queue).unwrap_or_else(|| {
                    open.push((queue, 0, String::new()));
                    open.len() - 1
                });
                let (_, count, list) = &mut open[at];
                let comma = if *count == 0 { "" } else { "," };
                let seq = digits.format(user.seq());
                list.extend([comma, &user.name, " ", &user.generation, ".", seq]);
                *count += 1;
                if *count == limits::ENVELOPE_RECIPIENTS {
                    let message = message(list, &data, sent);
                    (*count, *list) = (0, String::new());
                    self.by_id.entry(queue.to_owned()).or_default().waiting.push_back(message);
                }
            }
        }
        for (queue, _, list) in open.into_iter().filter(|(_, count, _)| *count > 0) {
            let message = message(&list, &data, sent);
            self.by_id.entry(queue.to_owned()).or_default().waiting.push_back(message);
        }
    }

    /// Whoever waits and has something to receive.
    pub(crate) fn wake(&mut self) -> Vec<(u64, String)> {
        let mut woken = Vec::new();
        for queue in self.by_id.values_mut() {
            while !queue.waiting.is_empty()
                && let Some((conn, _)) = queue.waiters.pop_front()
            {
                woken.push((conn, give(queue, &mut self.given)));
            }
        }
        woken
    }

    /// Whoever has waited long enough.
    pub(crate) fn expired(&mut self, now: u64) -> Vec<u64> {
        let mut over = Vec::new();
        for queue in self.by_id.values_mut() {
            while let Some((conn, until)) = queue.waiters.front().copied()
                && until <= now
            {
                queue.waiters.pop_front();
                over.push(conn);
            }
        }
        over
    }

    pub(crate) fn forget(&mut self, conn: u64) {
        self.by_id.values_mut().for_each(|queue| queue.waiters.retain(|(waiter, _)| *waiter != conn));
    }
}

/// The id in a queue's name or url: what stands behind the stage.
fn id(name: &str) -> &str {
    name.rsplit_once('-').map_or(name, |(_, id)| id)
}

/// The envelope as `domain::envelope` writes it, in JSON's quotes.
fn message(to: &str, data: &str, sent: u128) -> String {
    format!(r#""Body":"2 message\n{to}\n{data}","Attributes":{{"SentTimestamp":"{sent}"}}"#)
}

fn give(queue: &mut Queue, given: &mut u64) -> String {
    let mut answer = String::from(r#"{"Messages":["#);
    for message in queue.waiting.drain(..queue.waiting.len().min(BATCH)) {
        *given += 1;
        let comma = if answer.ends_with('[') { "" } else { "," };
        // As long as a real receipt.
        let _ = write!(
            answer,
            r#"{comma}{{"MessageId":"{given:036}","ReceiptHandle":"{given:0180}","MD5OfBody":"{given:032}",{message}}}"#
        );
    }
    answer.push_str("]}");
    answer
}

fn deleted(body: &[u8]) -> String {
    let entries = memchr::memmem::find_iter(body, b"\"Id\"").count();
    let ids: Vec<_> = (0..entries).map(|id| json!({"Id": id.to_string()})).collect();
    json!({"Successful": ids, "Failed": []}).to_string()
}

#[cfg(test)]
mod tests {
    use domain::{
        cursor::{Cursor, Gen},
        envelope::Envelope,
        sequence::InboxSeq,
    };

    use super::*;
    use crate::stamp::Stamp;

    #[test]
    fn an_envelope_is_one_that_an_edge_reads() {
        let mut truth = Truth::default();
        let users = truth.users(["a", "b"].map(String::from).into_iter());
        let mut queues = Queues::new("127.0.0.1:1".parse().unwrap());
        for user in &users {
            truth.user_mut(*user).lease("h#boot", Some(json!({"S": "q"})));
        }
        let stamp = Stamp { topic: 0, seq: 1, due: 0 };
        truth.append("t_x", 1, &users, &stamp.text());
        queues.post(&truth, &users, &stamp.line("t_x"));
        let Answer::Now(answer) = queues.receive("q", 1) else { panic!("there is one") };
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        let envelope = Envelope::decode(answer["Messages"][0]["Body"].as_str().unwrap()).unwrap();
        let at: Gen = truth.user(users[1]).generation.parse().unwrap();
        assert_eq!(envelope.to[1].place, Some(Cursor { r#gen: at, seq: InboxSeq(1) }));
        assert_eq!(envelope.news.unwrap().data.get(), stamp.line("t_x"));
        assert!(matches!(queues.receive("q", 1), Answer::Later));
    }
}
