//! Edges and their heartbeats (rule 15).

use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{ids::BootId, limits};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::table::{
    EdgeTable,
    error::{Error, held},
    keys,
    rows::EdgeRow,
    tx::{n, s},
};

/// Whether a beat counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// It did.
    Confirmed,
    /// The edge has been marked dead, or its row is gone: it has to take a new boot id.
    Refused,
}

impl EdgeTable {
    /// Beats for `boot`. Beat 0 makes the row.
    pub async fn beat(
        &self,
        boot: &BootId,
        beat: u64,
        streams: usize,
        now: Timestamp,
    ) -> Result<Beat, Error> {
        // Not `<`: the SDK repeats a beat whose answer was lost.
        let condition = if beat == 0 {
            "attribute_not_exists(pk) OR (dead = :false AND beat = :beat)"
        } else {
            "dead = :false AND beat <= :beat"
        };
        let beaten = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(keys::edge(boot).item()))
            .update_expression("SET boot = :boot, beat = :beat, #at = :at, streams = :streams, dead = :false")
            .expression_attribute_names("#at", "at")
            .condition_expression(condition)
            .expression_attribute_values(":boot", s(boot.as_str()))
            .expression_attribute_values(":beat", n(beat))
            .expression_attribute_values(":at", s(now.to_string()))
            .expression_attribute_values(":streams", n(streams))
            .expression_attribute_values(":false", AttributeValue::Bool(false))
            .send()
            .await;
        Ok(if held(beaten)? { Beat::Confirmed } else { Beat::Refused })
    }

    /// All edges, dead or alive.
    pub async fn edges(&self) -> Result<Vec<EdgeRow>, Error> {
        self.partition(keys::EDGES.into(), "", usize::MAX).await
    }

    /// Marks an edge dead whose beat still is the one observed; false if it has moved.
    pub async fn mark_dead(&self, boot: &BootId, beat: u64) -> Result<bool, Error> {
        let values = vec![(":true", AttributeValue::Bool(true)), (":beat", n(beat))];
        self.update_if(&keys::edge(boot), "SET dead = :true", "beat = :beat", values).await
    }

    /// All edges, at most [`limits::EDGES_LATELY`] old. Concurrent callers share one read, because all edges are in one
    /// partition, which serves 3,000 reads a second (DynamoDB developer guide, "Partitions").
    pub async fn edges_lately(&self) -> Result<Arc<[EdgeRow]>, Error> {
        let came_at = Instant::now();
        let mut last = self.recent_edges.0.lock().await;
        if let Some((_, edges)) = last.edges.as_ref().filter(|(at, _)| at.elapsed() < limits::EDGES_LATELY) {
            return Ok(edges.clone());
        }
        // A caller that waited for a failed read fails too. Otherwise all waiting callers would read, one after the
        // other.
        if last.failed_at.is_some_and(|failed_at| failed_at >= came_at) {
            return Err(Error::Unavailable("the edges could not be read".into()));
        }
        let asked_at = Instant::now();
        match self.edges().await {
            Ok(edges) => {
                let edges: Arc<[EdgeRow]> = edges.into();
                last.edges = Some((asked_at, edges.clone()));
                Ok(edges)
            }
            Err(error) => {
                last.failed_at = Some(Instant::now());
                Err(error)
            }
        }
    }

    /// Takes an edge off the list; it counts as no holder from then on.
    pub async fn remove_edge(&self, boot: &BootId) -> Result<(), Error> {
        self.delete(&keys::edge(boot)).await
    }
}
