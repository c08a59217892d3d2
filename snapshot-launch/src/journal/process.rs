//! The journal: a process of its own beside the supervisor, so that a slow copy delays no
//! signal, no take and no end of a branch.
//!
//! The supervisor forks it before the program starts, and it ends when the supervisor's end of
//! their channel closes. It has one thread: what it keeps and what it lets happen are in one
//! order.
//!
//! If it is killed, the supervisor starts another one, which answers in its place. That one knows
//! nothing of what has changed before.
#![expect(unsafe_code, reason = "forks, and closes descriptors")]

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{UnlinkatFlags, chdir, dup2_stderr, dup2_stdin, dup2_stdout, unlinkat};
use snapshot_core::sys::{self, Side};
use snapshot_core::terms::{SnapshotId, file_calls::FileCall};

use super::{
    call_under_way::{CallUnderWay, Trace},
    caller_memory::Memory,
    callers::Callers,
    calls::{
        serve::serve,
        work::{Reply, Work},
    },
    credentials::Wardrobe,
    guards::Guards,
    leftovers,
    levels::Levels,
    listener::{Listener, Notification},
    news::News,
    open_files,
    scope::{Scope, Trees},
    stat::{FileId, Kind, Stat},
    store::usual_candidates,
};
use crate::processes::{child::Child, own_name::name_process};
use crate::talk::{
    channel::{Channel, Received},
    event::NotRolledBack,
    file_changes::FileChanges,
    journal::{FromJournal, ToJournal},
};

/// How many things are removed before the next look for calls.
const SWEPT_AT_ONCE: usize = 64;

/// What a journal needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) trees: Trees,
    /// Makes the names of its stores unlike those of other sessions.
    pub(crate) tag: String,
    /// The files among the descriptors that the session was started with. What the program
    /// writes to them stays written.
    pub(crate) outputs: Vec<FileId>,
    /// Stores of this session's journals that are dead.
    pub(crate) left: Vec<PathBuf>,
    /// The call that a journal serves.
    pub(crate) under_way: CallUnderWay,
}

/// Starts a journal; returns its process and the channel to it.
///
/// # Errors
/// EAGAIN, EMFILE.
pub(crate) fn start(settings: Settings) -> io::Result<(Child, Channel)> {
    let (ours, theirs) = Channel::pair()?;
    // SAFETY: the supervisor has one thread, so the child may do what it likes.
    let side = unsafe { sys::fork_with_ids(&[]) };
    match side.map_err(|errno| io::Error::from_raw_os_error(errno.0))? {
        Side::Original(pid) => Ok((Child::of(pid)?, ours)),
        Side::Copy => {
            drop(ours);
            let _ = run(settings, theirs);
            sys::exit_group(0)
        }
    }
}

fn run(settings: Settings, channel: Channel) -> io::Result<()> {
    name_process("snap-journal");
    leave_all_but(channel.as_fd().as_raw_fd())?;
    lift_limits()?;
    // Names are made with the modes that callers ask for.
    umask(Mode::empty());
    let here = std::env::current_dir().unwrap_or_default();
    chdir("/")?;
    let mut journal = Journal {
        levels: Levels::new(&settings.tag, usual_candidates()),
        guards: Guards::default(),
        has_garbage: false,
        told_stores: 0,
        callers: Callers::open()?,
        wardrobe: Wardrobe::open()?,
        scope: Scope::new(settings.trees, settings.outputs)?,
        news: News::default(),
        listener: None,
        under_way: settings.under_way,
        channel,
    };
    journal.tidy_up_after_others(&settings.left, &here);
    journal.work();
    journal.wardrobe.wear_own();
    // What could not be put back stays where a person finds it.
    let _ = journal.levels.end();
    Ok(())
}

/// The program's limits are not the journal's: it holds more files, and larger ones.
fn lift_limits() -> io::Result<()> {
    let kernels = fs::read_to_string("/proc/sys/fs/nr_open");
    let kernels = kernels.ok().and_then(|number| number.trim().parse().ok());
    for (resource, highest) in [
        (Resource::RLIMIT_NOFILE, kernels),
        (Resource::RLIMIT_FSIZE, Some(RLIM_INFINITY)),
    ] {
        let (_, most) = getrlimit(resource)?;
        // Only a privileged user may go beyond the hard limit.
        let raised = highest.is_some_and(|highest| setrlimit(resource, highest, highest).is_ok());
        if !raised {
            setrlimit(resource, most, most)?;
        }
    }
    Ok(())
}

/// The files among the descriptors of this process.
pub(crate) fn outputs() -> Vec<FileId> {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else {
        return Vec::new();
    };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let files = numbers.filter_map(|number: RawFd| {
        // SAFETY: a number that is open no more gives an error.
        let stat = Stat::of_fd(unsafe { BorrowedFd::borrow_raw(number) }).ok()?;
        (stat.kind == Kind::File).then_some(stat.id)
    });
    files.collect()
}

/// Closes what belongs to the supervisor: who waits for the end of one of its descriptors
/// must not wait for the journal.
fn leave_all_but(channel: RawFd) -> io::Result<()> {
    let nothing = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    dup2_stdin(&nothing)?;
    dup2_stdout(&nothing)?;
    dup2_stderr(&nothing)?;
    let keep = channel.cast_unsigned();
    drop(nothing);
    for (first, last) in [(3, keep.saturating_sub(1)), (keep + 1, u32::MAX)] {
        if first <= last {
            // SAFETY: nothing of this process uses them.
            unsafe { nix::libc::close_range(first, last, 0) };
        }
    }
    Ok(())
}

struct Journal {
    levels: Levels,
    guards: Guards,
    /// Something waits to be removed.
    has_garbage: bool,
    callers: Callers,
    wardrobe: Wardrobe,
    scope: Scope,
    news: News,
    listener: Option<Listener>,
    under_way: CallUnderWay,
    channel: Channel,
    /// How many stores the supervisor knows of.
    told_stores: usize,
}

impl Journal {
    /// Serves until the supervisor is gone.
    fn work(&mut self) {
        loop {
            // What is left to remove waits until nobody else does.
            let timeout = match self.has_garbage {
                true => PollTimeout::ZERO,
                false => PollTimeout::NONE,
            };
            let mut fds = vec![PollFd::new(self.channel.as_fd(), PollFlags::POLLIN)];
            let closings = self.levels.closings();
            if let Some(closings) = closings {
                fds.push(PollFd::new(closings, PollFlags::POLLIN));
            }
            let at_listener = fds.len();
            if let Some(listener) = &self.listener {
                fds.push(PollFd::new(listener.as_fd(), PollFlags::POLLIN));
            }
            let ready = poll(&mut fds, timeout);
            let is_ready = |at: usize, flags: PollFlags| {
                let events = fds.get(at).and_then(PollFd::revents);
                events.is_some_and(|events| events.intersects(flags))
            };
            let is_called = is_ready(at_listener, PollFlags::POLLIN);
            let is_deserted =
                !is_called && is_ready(at_listener, PollFlags::POLLHUP | PollFlags::POLLERR);
            let is_told = is_ready(0, PollFlags::all());
            let is_closed = at_listener > 1 && is_ready(1, PollFlags::POLLIN);
            drop(fds);
            // Before the next call: it may open them again.
            if is_closed {
                self.wardrobe.wear_own();
                self.levels.seal();
            }
            if ready == Ok(0) {
                self.wardrobe.wear_own();
                self.has_garbage = self.levels.sweep_some(SWEPT_AT_ONCE);
            }
            if is_called {
                self.serve_call();
            }
            if is_deserted {
                // Nobody is left whose calls it reports.
                self.listener = None;
            }
            if is_told && !self.hear() {
                return;
            }
            self.pass_news_on();
            self.tell_of_stores();
        }
    }

    /// Reverts of journals that were killed are finished, and their stores removed.
    fn tidy_up_after_others(&mut self, left: &[PathBuf], here: &Path) {
        let mut directories = usual_candidates();
        directories.extend(here.ancestors().map(Path::to_owned));
        for text in leftovers::tidy_up(left, &directories) {
            self.tell(&FromJournal::Note(text));
        }
    }

    /// Whoever comes after this journal must find them.
    fn tell_of_stores(&mut self) {
        let (stores, count) = self.levels.stores_after(self.told_stores);
        self.told_stores = count;
        for store in stores {
            self.tell(&FromJournal::Store(store));
        }
    }

    /// False if the supervisor is gone.
    fn hear(&mut self) -> bool {
        let message = match self.channel.receive() {
            Ok(Received::Message(message)) => message,
            Ok(Received::Nothing) => return true,
            Ok(Received::Closed) | Err(_) => return false,
        };
        self.wardrobe.wear_own();
        umask(Mode::empty());
        match message {
            ToJournal::Listen { is_restricted } => {
                if is_restricted && !self.wardrobe.is_restricted() {
                    self.callers.had_landlock();
                }
                let passed = self.channel.take_passed();
                self.listener = passed.map(|fd| Listener::of(fd, self.under_way));
                self.serve_left_call();
            }
            ToJournal::GoOn { ids, processes } => {
                for id in ids {
                    self.levels.begin(SnapshotId::new(id));
                    // What the program has made is not known.
                    self.levels.goes_blind();
                }
                // Whoever writes to them has not waited.
                if !self.levels.is_empty() {
                    let _ = self.keep_open(&processes);
                }
            }
            ToJournal::Guards => {
                if let Some(memory) = self.channel.take_passed() {
                    self.guards.use_memory(memory);
                }
            }
            ToJournal::Begin { id, processes } => self.begin(id, &processes),
            ToJournal::Revert { id, kept, force } => self.revert(id, kept, force),
            ToJournal::Drop { id } => {
                self.levels.drop_level(SnapshotId::new(id));
                self.guards.forget_bits();
                if self.levels.is_empty() {
                    self.guards.clear();
                }
                self.has_garbage = true;
            }
            ToJournal::Diff {
                token,
                from,
                to,
                with_text,
            } => {
                let of = |id| SnapshotId::new(id);
                let found = self.levels.diff(of(from), to.map(of), with_text);
                let (changes, is_cut) = found.unwrap_or_default();
                let changes = FileChanges {
                    from,
                    to,
                    changes,
                    is_cut,
                    is_late: false,
                };
                self.tell(&FromJournal::Differs { token, changes });
            }
            ToJournal::Commit => {
                let files = self.levels.commit();
                self.guards.clear();
                self.has_garbage = true;
                self.tell(&FromJournal::Committed { files });
            }
            ToJournal::Count => self.tell(&FromJournal::Counts(self.levels.counts())),
        }
        if self.levels.is_empty() {
            // Nobody is asked who he is until the next take.
            self.callers.forget_all();
        }
        true
    }

    fn begin(&mut self, id: u32, processes: &[i32]) {
        self.news.begin();
        self.levels.begin(SnapshotId::new(id));
        let not_rolled_back = self.keep_open(processes);
        self.tell(&FromJournal::Begun {
            id,
            not_rolled_back,
        });
    }

    /// Keeps what these processes have open.
    fn keep_open(&mut self, processes: &[i32]) -> Vec<NotRolledBack> {
        self.guards.begin();
        let gaps = open_files::keep(
            processes,
            &mut self.levels,
            &mut self.guards,
            &mut self.scope,
            &mut self.news,
        );
        self.guards.end_unwanted();
        gaps
    }

    fn revert(&mut self, id: u32, kept: Option<i32>, force: bool) {
        let all = self.levels.undone_by(SnapshotId::new(id));
        if let Some(all) = all.filter(|all| all.may_last()) {
            self.tell(&FromJournal::Reverts(all));
        }
        let outcome = (self.levels).revert_to(SnapshotId::new(id), kept.is_some(), force);
        self.guards.forget_bits();
        self.has_garbage = true;
        let problems = outcome.problems.iter();
        let mut notes: Vec<String> = problems
            .map(|problem| format!("a file is not as it was: {problem}"))
            .collect();
        notes.extend(outcome.outsiders);
        if let Some(copy) = kept {
            self.news.begin();
            let gaps = self.keep_open(&[copy]);
            notes.extend(gaps.into_iter().map(|gap| {
                let NotRolledBack { what, why, .. } = gap;
                format!("the next revert will not bring back {what}: {why}")
            }));
        }
        self.tell(&FromJournal::Reverted {
            id,
            changed: outcome.restored.all(),
            notes,
        });
    }

    /// A process is about to begin another program, which doesn't ask before it writes to what it
    /// gets from this one.
    fn is_leaving_guards(&mut self, tid: i32) {
        if !self.guards.is_empty() {
            open_files::keep_inherited(tid, &mut self.levels, &mut self.guards, &mut self.news);
        }
    }

    fn pass_news_on(&mut self) {
        for text in self.news.take() {
            self.tell(&FromJournal::Note(text));
        }
    }

    /// If the supervisor is gone, the loop sees the channel's end.
    fn tell(&self, message: &FromJournal) {
        let _ = self.channel.send(message);
    }

    /// Answers the next call.
    fn serve_call(&mut self) {
        let Some(listener) = &self.listener else {
            return;
        };
        let call = match listener.next() {
            Ok(Some(call)) => call,
            Ok(None) => return,
            Err(_) => {
                self.listener = None;
                return;
            }
        };
        let reply = self.decide(&call, Trace::default());
        self.answer(&call, reply);
    }

    /// Serves the call over which the journal before this one has died.
    fn serve_left_call(&mut self) {
        let Some((raw, trace, is_deadly)) = self.under_way.left() else {
            return;
        };
        let call = Notification::of(&raw);
        // One that kills every journal is the kernel's.
        let reply = match trace.given {
            Some(given) => Ok(Reply::Done(given.into())),
            None if is_deadly => Ok(Reply::Continue),
            None => self.decide(&call, trace),
        };
        self.answer(&call, reply);
    }

    fn answer(&mut self, call: &Notification, reply: Result<Reply, Errno>) {
        let Some(listener) = &self.listener else {
            return;
        };
        let by_kernel = matches!(reply, Ok(Reply::Continue));
        match reply {
            Ok(Reply::Continue) => listener.let_through(call),
            Ok(Reply::Done(value)) => listener.reply(call, Ok(value)),
            Ok(Reply::Give {
                fd,
                close_on_exec,
                made,
            }) => {
                if let Err(errno) = listener.give(call, fd, close_on_exec) {
                    // The kernel looks for room before it makes a file.
                    if let Some(made) = made {
                        self.wardrobe.wear_own();
                        let name = made.name.as_os_str();
                        let _ = unlinkat(&made.dir, name, UnlinkatFlags::NoRemoveDir);
                    }
                    listener.reply(call, Err(errno));
                }
            }
            Err(errno) => listener.reply(call, Err(errno)),
        }
        self.guards.has_answered(by_kernel);
    }

    fn decide(&mut self, call: &Notification, trace: Trace) -> Result<Reply, Errno> {
        let Some(kind) = FileCall::of(call.arch, call.number) else {
            return Ok(Reply::Continue);
        };
        match kind {
            FileCall::Umask
            | FileCall::Chroot
            | FileCall::Unshare
            | FileCall::SetNs
            | FileCall::SetIds
            | FileCall::SetGroups
            | FileCall::CapSet
            | FileCall::Exec
            | FileCall::ExecAt => {
                if matches!(kind, FileCall::Exec | FileCall::ExecAt) {
                    self.is_leaving_guards(call.tid);
                }
                self.callers.is_changing(call.tid);
                return Ok(Reply::Continue);
            }
            FileCall::PivotRoot => {
                self.callers.forget_all();
                return Ok(Reply::Continue);
            }
            FileCall::Landlock => {
                self.callers.restricts_itself(call.tid);
                return Ok(Reply::Continue);
            }
            FileCall::IoUringSetup => {
                self.levels.stays_blind();
                if !self.levels.is_empty() {
                    self.news
                        .went_past("what the program writes through its new io_uring");
                }
                return Ok(Reply::Continue);
            }
            _ if self.levels.is_empty() => return Ok(Reply::Continue),
            _ => {}
        }
        // The last caller's may still be on.
        self.wardrobe.wear_own();
        let Ok(caller) = self.callers.get(call.tid, &self.wardrobe) else {
            self.levels.goes_blind();
            self.news
                .went_past("changes of a process that can't be looked at");
            return Ok(Reply::Continue);
        };
        // The number may have been another thread's until now.
        let still_waits = self
            .listener
            .as_ref()
            .is_some_and(|of| of.still_waits(call));
        if !still_waits {
            return Ok(Reply::Continue);
        }
        let mut work = Work {
            caller,
            memory: Memory::of(call.tid),
            wardrobe: &self.wardrobe,
            levels: &mut self.levels,
            guards: &mut self.guards,
            scope: &mut self.scope,
            news: &mut self.news,
            under_way: self.under_way,
            trace,
        };
        let is_emulated = work.emulates();
        if !is_emulated {
            // The kernel looks the paths up again, and may find something else by then.
            work.levels.goes_blind();
        }
        let done = serve(&mut work, kind, &call.arguments);
        if matches!(kind, FileCall::Umount | FileCall::Umount2) {
            // Somebody's root may lie there, who has ended by now.
            self.callers.forget_all();
        }
        match done {
            // What the journal lacks, the caller may have.
            Err(errno @ (Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM)) => {
                self.levels.goes_blind();
                self.news.went_past(&format!(
                    "a change for which the journal lacked room: {errno}"
                ));
                Ok(Reply::Continue)
            }
            Err(_) if !is_emulated => Ok(Reply::Continue),
            done => done,
        }
    }
}
