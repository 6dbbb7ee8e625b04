//! The service `status`: how the items of a tribe stand on a node, told to any member that asks.
//!
//! ```text
//! caller ──▶ {"tribe": "core"}, end
//! node   ──▶ a list of item statuses, end
//! ```
//! Both are JSON. What is told here is too much, and changes too often, to be a record.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};
use tracing::{debug, warn};
use tribe::{Incoming, Node, NodeName, Offers, ServeOptions, Target, TribeName};
use tribe_api::ItemStatus;

use super::{Reconciler, Table};

#[cfg(test)]
mod tests;

/// The name of the service.
const STATUS_SERVICE: &str = "status";
/// Members that may ask at a time.
const CALLERS: usize = 64;
/// Longest question, in bytes.
const QUESTION_BYTES: u64 = 4096;
/// Longest answer, in bytes.
const ANSWER_BYTES: u64 = 16 * 1024 * 1024;
/// How long an answer may take.
const ANSWER_TIME: Duration = Duration::from_secs(3);

/// What is asked.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Question {
    /// The tribe whose items are meant.
    tribe: TribeName,
}

/// How the items of a tribe stand here.
pub(crate) fn of_tribe(table: &Table, tribe: &TribeName) -> Vec<ItemStatus> {
    let items = table.iter().filter(|(key, _)| key.tribe() == Some(tribe));
    items.map(|(key, entry)| entry.to_api(key)).collect()
}

/// Does a node with these offers say how its items stand?
pub(crate) fn is_asked(offers: &Offers) -> bool {
    offers.services.iter().any(|service| service.as_str() == STATUS_SERVICE)
}

/// Answers members until the node stops.
pub(super) async fn serve(reconciler: Reconciler) {
    let options = ServeOptions { most: CALLERS, ..ServeOptions::default() };
    let mut service = match reconciler.node.serve(STATUS_SERVICE, options).await {
        Ok(service) => service,
        Err(error) => return warn!(%error, "cannot tell others how items stand here"),
    };
    while let Some(Incoming { stream, caller }) = service.accept().await {
        let table = reconciler.table();
        tokio::spawn(async move {
            match timeout(ANSWER_TIME, answer(stream, &table)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => debug!(caller = %caller.name, %error, "cannot answer"),
                Err(_) => debug!(caller = %caller.name, "a caller was too slow"),
            }
        });
    }
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    table: &Table,
) -> std::io::Result<()> {
    let mut question = Vec::new();
    (&mut stream).take(QUESTION_BYTES).read_to_end(&mut question).await?;
    let Question { tribe } = serde_json::from_slice(&question)?;
    stream.write_all(&serde_json::to_vec(&of_tribe(table, &tribe))?).await?;
    stream.shutdown().await
}

/// Asks a member how the items of a tribe stand there.
///
/// # Errors
/// Why there is no answer, in words.
pub(crate) async fn ask(
    node: &Node,
    member: &NodeName,
    tribe: &TribeName,
) -> Result<Vec<ItemStatus>, String> {
    let asked = async {
        let target = Target::Node(member.clone());
        let stream = node.dial(target, STATUS_SERVICE).await.map_err(|error| error.to_string())?;
        let question = Question { tribe: tribe.clone() };
        read_answer(stream, &question).await.map_err(|error| error.to_string())
    };
    timeout(ANSWER_TIME, asked).await.unwrap_or_else(|_| Err("it did not answer in time".into()))
}

async fn read_answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    question: &Question,
) -> std::io::Result<Vec<ItemStatus>> {
    stream.write_all(&serde_json::to_vec(question)?).await?;
    stream.shutdown().await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES).read_to_end(&mut answer).await?;
    Ok(serde_json::from_slice(&answer)?)
}
