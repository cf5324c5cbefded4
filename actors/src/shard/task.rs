//! Tasks of a shard.

use tokio::task::AbortHandle;

/// Ends a task with what it works for.
pub(super) struct ShardTask(pub(super) AbortHandle);

impl Drop for ShardTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}
