//! Large groups, made row by row, and what one sees of their fan-out.

use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use aws_sdk_sqs::types::QueueAttributeName;
use domain::{
    event::EventName,
    ids::{BootId, QueueId, ThreadId, UserId},
    limits,
    sequence::InboxSeq,
    user_row::Holder,
};
use serde_json::json;
use server::clock::Clock;

use crate::world::World;

/// The longest that a large fan-out may take on a busy machine: each member costs some requests,
/// and the emulator serves one at a time.
const PATIENCE: Duration = Duration::from_mins(3);

/// A member of a crowd.
pub fn one_of(n: usize) -> String {
    format!("u{n:04}")
}

/// A queue that carries a user's events.
#[derive(Debug, Clone)]
pub struct UserQueue {
    /// The queue.
    pub queue: QueueId,
    /// Where it is posted to.
    pub url: String,
    /// The edge that receives from it, if one does.
    pub holder: Option<BootId>,
}

impl World {
    /// Creates a group of `size` through the API as far as one request goes, and the rest of it as
    /// copies of its first member's rows: adding them one by one would fan each out to the others.
    pub async fn crowd(&self, owner: &str, size: usize) -> ThreadId {
        // Those named are told inline, so that the first of them has rows to copy.
        let named = (size - 1).min(limits::INLINE_MEMBERS - 1);
        let members: Vec<String> = (0..named).map(one_of).collect();
        let thread = self.as_user(owner).thread(json!({"members": members, "title": "crowd"})).await;
        self.swell(&thread, &one_of(0), (named..size - 1).map(one_of)).await;
        ThreadId::parse(&thread).unwrap()
    }

    /// Makes `users`, who have no inbox yet, members of a thread, by copies of the rows of one who
    /// is.
    pub async fn swell(&self, thread: &str, of: &str, users: impl Iterator<Item = String>) {
        let client = &self.dynamodb;
        let user_pk = |user: &str| format!("U#{user}");
        let thread_pk = format!("T#{thread}");
        let s = |text: &str| AttributeValue::S(text.to_owned());
        let row = async |pk: &str, sk: &str| {
            let got = client.get_item().table_name(&self.stage).key("pk", s(pk)).key("sk", s(sk));
            got.consistent_read(true).send().await.unwrap().item.unwrap()
        };
        let listed = row(&thread_pk, &format!("M#{of}")).await;
        let head = row(&user_pk(of), "HEAD").await;
        let mut puts = Vec::new();
        for user in users {
            let (mut listed, mut head) = (listed.clone(), head.clone());
            listed.insert("sk".into(), s(&format!("M#{user}")));
            listed.insert("user".into(), s(&user));
            head.insert("pk".into(), s(&user_pk(&user)));
            for item in [listed, head] {
                let put = PutRequest::builder().set_item(Some(item)).build().unwrap();
                puts.push(WriteRequest::builder().put_request(put).build());
            }
        }
        for puts in puts.chunks(25) {
            client.batch_write_item().request_items(&self.stage, puts.to_vec()).send().await.unwrap();
        }
    }

    /// How many jobs lie in the queue at `url`, received ones included.
    pub async fn lying_in(&self, url: &str) -> u32 {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let call = self.sqs.get_queue_attributes().queue_url(url);
        let found = call.set_attribute_names(Some(names.to_vec())).send().await.unwrap();
        let found = found.attributes.unwrap();
        names.iter().map(|name| found[name].parse::<u32>().unwrap()).sum()
    }

    /// How many deliveries are not known complete.
    pub async fn owed(&self) -> usize {
        let mut owed = 0;
        for shard in 0..store::table::keys::SHARDS {
            owed += self.table.outbox(shard).await.unwrap().len();
        }
        owed
    }

    /// Waits until every fan-out is complete.
    pub async fn settled(&self) {
        let settled = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            while self.owed().await > 0 {
                ticks.tick().await;
            }
        };
        tokio::time::timeout(PATIENCE, settled).await.expect("every fan-out to be complete");
    }

    /// The queues that carry the events of `user`, and who receives from each.
    pub async fn leases(&self, user: &str) -> Vec<UserQueue> {
        let image = self.table.image(&UserId::parse(user).unwrap()).await.unwrap();
        let mut queues = Vec::new();
        for lease in image.row.leases {
            let url = self.queues.url(&lease.queue).await.unwrap_or_default();
            queues.push(UserQueue { holder: lease.holder.boot().cloned(), queue: lease.queue, url });
        }
        queues
    }

    /// Takes all leases of `user` away, as if nobody had ever taken one.
    pub async fn lose_leases(&self, user: &str) {
        let user = UserId::parse(user).unwrap();
        for lease in self.table.image(&user).await.unwrap().row.leases {
            match &lease.holder {
                Holder::Edge(boot) => drop(self.table.end_edge_lease(&user, boot).await.unwrap()),
                _ => assert!(self.table.remove_queue(&user, &lease).await.unwrap()),
            }
        }
    }

    /// The texts of all messages in the inbox of `user`, in its order.
    pub async fn inbox_of(&self, user: &str) -> Vec<String> {
        let user = UserId::parse(user).unwrap();
        let image = self.table.image(&user).await.unwrap();
        let (mut texts, mut seq) = (Vec::new(), InboxSeq(0));
        loop {
            let page = self.table.inbox(&user, &image, seq, 100, Clock::system().now()).await.unwrap();
            let more = page.events.last().is_some_and(|event| event.seq < image.cursor.seq);
            seq = page.events.last().map_or(seq, |event| event.seq);
            for event in page.events {
                let data: serde_json::Value = serde_json::from_str(event.news.data.get()).unwrap();
                match event.news.event {
                    EventName::Message => texts.push(data["text"].as_str().unwrap().to_owned()),
                    EventName::Member => texts.push(format!("+{}", data["user"].as_str().unwrap())),
                    _ => {}
                }
            }
            if !more {
                return texts;
            }
        }
    }
}
