//! What differs between two moments of a session's files: the answer to `cargo snapshot diff`.

use serde::{Deserialize, Serialize};

/// All that differs, by path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChanges {
    /// The earlier moment, a snapshot.
    pub from: u32,
    /// The later one; live if it is `None`.
    pub to: Option<u32>,
    /// What differs.
    pub changes: Vec<FileChange>,
    /// Whether there is more than the session lists.
    pub is_cut: bool,
    /// The journal was started after the earlier snapshot: what had changed before is missing.
    pub is_late: bool,
}

/// One path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// Where it is now, or was.
    pub path: String,
    /// In what it differs.
    pub change: Change,
    /// Its earlier path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renamed_from: Option<String>,
    /// Bytes at the earlier moment.
    pub size_before: Option<u64>,
    /// Bytes at the later one.
    pub size_now: Option<u64>,
    /// Kind and permissions at the earlier moment, as `100644`.
    pub mode_before: Option<String>,
    /// The same at the later one.
    pub mode_now: Option<String>,
    /// Its text, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Text>,
}

/// In what a path differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It was not there.
    Added,
    /// It is no longer there.
    Removed,
    /// Content, permissions or owner.
    Changed,
    /// It was there under another name.
    Renamed,
}

/// A file's text at both moments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Text {
    /// Empty where the file was not there.
    Of {
        /// At the earlier moment.
        before: String,
        /// At the later one.
        now: String,
    },
    /// One of the two is no text.
    Binary,
    /// Too large to be shown.
    Large,
}
