//! The events file of a session, read as its contract describes.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// One line of the events file, or an answer with the same names.
#[derive(Clone, PartialEq)]
pub struct Event(pub Value);

impl Event {
    /// Parses one.
    ///
    /// # Panics
    /// When the text is no JSON object.
    pub fn parse(text: &str) -> Self {
        match serde_json::from_str(text) {
            Ok(value @ Value::Object(_)) => Self(value),
            other => panic!("not a JSON object: {text:?} ({other:?})"),
        }
    }

    /// `started`, `taken`, ...
    pub fn name(&self) -> &str {
        self.text("event")
    }

    /// A field that is a string.
    ///
    /// # Panics
    /// When it is not.
    pub fn text(&self, field: &str) -> &str {
        self.0[field]
            .as_str()
            .unwrap_or_else(|| panic!("`{field}` is no string in {self}"))
    }

    /// A field that is a number.
    ///
    /// # Panics
    /// When it is not.
    pub fn number(&self, field: &str) -> i64 {
        self.0[field]
            .as_i64()
            .unwrap_or_else(|| panic!("`{field}` is no number in {self}"))
    }

    /// A field that is a process id.
    ///
    /// # Panics
    /// When it is not.
    pub fn pid(&self, field: &str) -> i32 {
        i32::try_from(self.number(field)).expect("a process id fits")
    }

    /// A field that is true or false.
    ///
    /// # Panics
    /// When it is neither.
    pub fn flag(&self, field: &str) -> bool {
        self.0[field]
            .as_bool()
            .unwrap_or_else(|| panic!("`{field}` is neither true nor false in {self}"))
    }

    /// The items that a take names, without those of every piped session: the pipes that the
    /// program was started with, and, without namespaces, the new ids.
    pub fn named(&self) -> Vec<Self> {
        let is_of_every_take = |item: &Self| {
            let is_stream = ["fd 0: pipe:", "fd 1: pipe:", "fd 2: pipe:"]
                .iter()
                .any(|stream| item.text("what").starts_with(stream));
            is_stream || item.text("kind") == "ids"
        };
        let mut named = self.list("not_rolled_back");
        named.retain(|item| !is_of_every_take(item));
        named
    }

    /// The objects in a field that is a list.
    ///
    /// # Panics
    /// When it is not.
    pub fn list(&self, field: &str) -> Vec<Self> {
        let items = self.0[field]
            .as_array()
            .unwrap_or_else(|| panic!("`{field}` is no list in {self}"));
        items.iter().cloned().map(Self).collect()
    }

    /// Whether a field is there and null.
    pub fn is_null(&self, field: &str) -> bool {
        self.0.get(field).is_some_and(Value::is_null)
    }

    /// The fields' names, sorted.
    pub fn fields(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .0
            .as_object()
            .map(|object| object.keys().map(String::as_str).collect())
            .unwrap_or_default();
        names.sort_unstable();
        names
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The file as read so far, and the test's position in it.
#[derive(Debug)]
pub struct Events {
    path: PathBuf,
    read: u64,
    seen: Vec<Event>,
    next: usize,
}

impl Events {
    /// The events that will be written to `path`.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            read: 0,
            seen: Vec::new(),
            next: 0,
        }
    }

    /// Everything that has happened so far.
    ///
    /// # Panics
    /// When a complete line of the file is no JSON object.
    pub fn all(&mut self) -> &[Event] {
        if let Ok(mut file) = File::open(&self.path)
            && file.seek(SeekFrom::Start(self.read)).is_ok()
        {
            let mut text = String::new();
            file.read_to_string(&mut text).expect("events are UTF-8");
            // A line is flushed whole, but a read may still come between.
            let complete = text.rfind('\n').map_or(0, |end| end + 1);
            for line in text[..complete].lines() {
                self.seen.push(Event::parse(line));
            }
            self.read += u64::try_from(complete).expect("a file's length fits");
        }
        &self.seen
    }

    /// Skips everything that has happened so far.
    pub fn skip_all(&mut self) {
        self.all();
        self.next = self.seen.len();
    }

    /// The first event after the last one found that `wanted` accepts.
    pub fn find_next(&mut self, wanted: impl Fn(&Event) -> bool) -> Option<Event> {
        self.all();
        let at = (self.next..self.seen.len()).find(|&index| wanted(&self.seen[index]))?;
        self.next = at + 1;
        Some(self.seen[at].clone())
    }
}
