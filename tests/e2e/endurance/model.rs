//! A model of the timeline, from the events alone: each must be possible after those before it.
//! It also knows which number the guest must remember after each revert.

use std::collections::BTreeSet;
use std::fmt;

use snapshot_tests::Event;

/// The status of a guest that has found itself broken.
const BROKEN: i64 = 70;

/// A snapshot, and what the guest may remember in it.
#[derive(Debug, Clone)]
struct Level {
    id: i64,
    marks: BTreeSet<u64>,
}

/// How often somebody else may get the program's number in the moment in which it is free.
const MOST_STRAYS: usize = 3;

/// The timeline by the events so far.
#[derive(Debug)]
pub struct Model {
    levels: Vec<Level>,
    /// The largest number that a snapshot has had.
    last_id: i64,
    /// The snapshot that a branch has ended for, until the program goes on from it.
    due: Option<i64>,
    same_ids: bool,
    pub live: i32,
    /// How often it came back under another number.
    strays: usize,
    pub finished: bool,
    /// What the guest may remember now: a single number, once nothing is under way.
    marks: BTreeSet<u64>,
    /// All that it may have remembered at some moment since that was so.
    possible: BTreeSet<u64>,
    /// What it remembered before that single number.
    former: u64,
}

impl Model {
    pub fn new(live: i32, same_ids: bool) -> Self {
        Self {
            levels: Vec::new(),
            last_id: 0,
            due: None,
            same_ids,
            live,
            strays: 0,
            finished: false,
            marks: BTreeSet::from([0]),
            possible: BTreeSet::from([0]),
            former: 0,
        }
    }

    pub fn ids(&self) -> Vec<i64> {
        self.levels.iter().map(|level| level.id).collect()
    }

    pub fn depth(&self) -> usize {
        self.levels.len()
    }

    /// A branch has ended, and the program does not go on yet.
    pub fn is_between(&self) -> bool {
        self.due.is_some()
    }

    /// The guest gets this number, and may remember it from now on or not.
    pub fn told(&mut self, mark: u64) {
        self.marks.insert(mark);
        self.possible.insert(mark);
    }

    /// Whether it may have remembered that when it was told `mark`.
    pub fn may_have_known(&self, former: u64, mark: u64) -> bool {
        former != mark && self.possible.contains(&former)
    }

    /// The guest has answered that it was `former`, and nothing else has happened meanwhile.
    pub fn knows(&mut self, mark: u64, former: u64) {
        self.former = former;
        self.marks = BTreeSet::from([mark]);
        self.possible.clone_from(&self.marks);
    }

    /// The newest snapshot was taken while nothing else happened, and so has this in it.
    pub fn newest_knows(&mut self, marks: BTreeSet<u64>) {
        if let Some(level) = self.levels.last_mut() {
            level.marks = marks;
        }
    }

    /// What the guest may remember now.
    pub fn marks(&self) -> BTreeSet<u64> {
        self.marks.clone()
    }

    /// Takes one event in.
    ///
    /// # Errors
    /// Why it can't be true.
    pub fn happen(&mut self, event: &Event) -> Result<(), String> {
        match event.name() {
            "started" => Ok(()),
            "taken" => self.taken(event),
            "refused" => Self::refused(event),
            "ended" => self.ended(event),
            "reverted" => self.reverted(event),
            "dropped" => self.dropped(event),
            "committed" => self.committed(event),
            "finished" => {
                self.finished = true;
                Ok(())
            }
            other => Err(format!("`{other}` is no event of the contract")),
        }
    }

    fn taken(&mut self, event: &Event) -> Result<(), String> {
        let id = event.number("id");
        check(id > self.last_id, "a number was used twice")?;
        self.last_id = id;
        // It is said a moment later, and the guest may have been told the next number meanwhile.
        let mut marks = self.marks.clone();
        marks.insert(self.former);
        self.levels.push(Level { id, marks });
        let is_fine = event.named().iter().all(is_usual);
        check(is_fine, "it names what comes back")?;
        self.check_depth(event)?;
        check(self.due.is_none(), "a dead branch was taken")?;
        check(event.number("threads") > 13, "threads are missing")
    }

    /// What, cause and help are never empty, and nobody is blamed who did nothing.
    fn refused(event: &Event) -> Result<(), String> {
        let said = ["kind", "why", "help"]
            .iter()
            .all(|field| !event.text(field).is_empty());
        check(said, "a refusal without its reason")
    }

    fn ended(&mut self, event: &Event) -> Result<(), String> {
        let id = event.number("id_reverted_to");
        check(self.at(id).is_some(), "no such snapshot")?;
        check(!is_broken(event), "the guest has found itself broken")?;
        self.due = Some(id);
        Ok(())
    }

    fn reverted(&mut self, event: &Event) -> Result<(), String> {
        let id = event.number("id");
        let at = self.at(id).ok_or("no such snapshot")?;
        self.due = None;
        // What it was told last it may have been told after that.
        let newest = self.marks.last().copied();
        self.marks.clone_from(&self.levels[at].marks);
        self.marks.extend(newest);
        self.possible.extend(&self.marks);
        let kept = usize::from(event.flag("kept"));
        self.levels.truncate(at + kept);
        let live = event.pid("live_pid");
        check(event.flag("same_ids") == self.same_ids, "other ids")?;
        // Numbers go round, and somebody else may get it while it is free.
        self.strays += usize::from(self.same_ids && live != self.live);
        check(self.strays <= MOST_STRAYS, "another number, again")?;
        self.live = live;
        self.check_depth(event)
    }

    fn dropped(&mut self, event: &Event) -> Result<(), String> {
        let at = self.at(event.number("id")).ok_or("no such snapshot")?;
        self.levels.remove(at);
        Ok(())
    }

    fn committed(&mut self, event: &Event) -> Result<(), String> {
        let dropped: Vec<i64> = event.0["dropped"]
            .as_array()
            .map(|ids| ids.iter().filter_map(serde_json::Value::as_i64).collect())
            .unwrap_or_default();
        check(dropped == self.ids(), "others were dropped")?;
        self.levels.clear();
        Ok(())
    }

    fn at(&self, id: i64) -> Option<usize> {
        self.levels.iter().position(|level| level.id == id)
    }

    fn check_depth(&self, event: &Event) -> Result<(), String> {
        let told = usize::try_from(event.number("depth")).map_err(|_| "no depth")?;
        check(told == self.depth(), "another depth")
    }
}

/// Whether the guest has ended since a check of its own has failed.
pub fn is_broken(event: &Event) -> bool {
    event.name() == "ended" && event.0["code"].as_i64() == Some(BROKEN)
}

/// Whether a take may name this: children come and go, and what one changes in files that was there
/// before the first take is unknown; so are the locks of a program that is killed in a take.
fn is_usual(item: &Event) -> bool {
    let why = item.text("why");
    match item.text("kind") {
        "child" => true,
        "files" => why.starts_with("it was started before the first snapshot"),
        "lock" => why.starts_with("the program ended "),
        _ => false,
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for level in &self.levels {
            write!(f, "#{} {:?} ", level.id, level.marks)?;
        }
        write!(f, "live {} {:?}", self.live, self.marks)
    }
}

fn check(fine: bool, what: &str) -> Result<(), String> {
    if fine { Ok(()) } else { Err(what.to_owned()) }
}
