//! A copy that nobody needs any more and that has not spoken.

use crate::supervisor::links::AgentLink;
use snapshot_core::wire::Frozen;

#[derive(Debug)]
pub(crate) struct SilentCopy {
    pub(crate) link: AgentLink<Frozen>,
    pub(crate) awaited_until_ns: u64,
}
