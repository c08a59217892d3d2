//! A copy that nobody needs any more and that has not spoken.

use crate::supervisor::links::AgentLink;

#[derive(Debug)]
pub(crate) struct SilentCopy {
    pub(in crate::supervisor) link: AgentLink,
    pub(in crate::supervisor) awaited_until_ns: u64,
}
