//! The start of a session: the supervisor's process, the program's terminal, the program. And
//! the end, if the launcher can't do it.
#![expect(unsafe_code, reason = "takes a terminal, asks for random bytes")]

use crate::processes::own_name::name_process;
use crate::supervisor::stand_in::stand_in_for_launcher;
use crate::talk::unstarted::Unstarted;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::Mode;
use nix::unistd::{
    Pid, dup2_stderr, dup2_stdin, dup2_stdout, getpid, isatty, setpgid, setsid, tcgetpgrp,
    tcsetpgrp,
};
use snapshot_core::process::own_processes;
use snapshot_core::sys::now_ns;

use super::spawn;
use crate::inherited;
use crate::journal::{
    call_under_way::CallUnderWay,
    process::{self, Settings},
};
use crate::processes::outside::Outside;
use crate::supervisor::{
    anchor::Anchor,
    aspects::{
        children::tracked::Children, closings::Closings, files::Files, keepers::Keepers,
        list::Aspects, screen::Screens,
    },
    config::{Config, Group},
    descriptors::Limits,
    interrupts::{arrivals::Arrivals, presses::Presses},
    links::Switchboard,
    live::Live,
    refusal::{apart::Home, filters::Filters},
    state::{Phase, Supervisor},
};
use crate::talk::{
    channel::{Channel, Received, ToLauncher, ToSupervisor},
    doors::{self, Place},
};

nix::ioctl_write_int_bad!(make_controlling, libc::TIOCSCTTY);

/// This process, for `setpgid`.
const NOBODY_ELSE: Pid = Pid::from_raw(0);

/// The first process of the session's namespaces.
const INIT: i32 = 1;

/// How long the launcher may take to put the program's group in front.
const FRONT: Duration = Duration::from_secs(1);

/// Runs the session in a process of its own that the launcher has forked, with every
/// signal blocked. Does not come back.
///
/// It exists before anything that a killed launcher would leave behind, and starts the program
/// only when the launcher is ready.
pub(crate) fn run(mut config: Config, outside: Outside, channel: Channel) -> ! {
    name_process("snap-supervisor");
    if let Some(door) = wait_for_begin(&channel) {
        config.door = door;
        let channel = Rc::new(channel);
        match begin(config, outside, Rc::clone(&channel)) {
            Ok(mut supervisor) => supervisor.serve(),
            Err(unstarted) => {
                let _ = channel.send(&ToLauncher::NotStarted(unstarted));
            }
        }
    } else {
        stand_in_for_launcher(&config);
        doors::sweep_for(config.launcher_pid);
    }
    std::process::exit(0)
}

/// The control socket's place, if it has one. `None` if the launcher has ended.
fn wait_for_begin(channel: &Channel) -> Option<Option<Place>> {
    loop {
        match channel.receive() {
            Ok(Received::Message(ToSupervisor::Begin { door })) => return Some(door),
            Ok(Received::Message(_) | Received::Closed) | Err(_) => return None,
            Ok(Received::Nothing) => {
                let mut fds = [PollFd::new(channel.as_fd(), PollFlags::POLLIN)];
                let _ = poll(&mut fds, PollTimeout::NONE);
            }
        }
    }
}

/// Sets everything up and starts the program.
fn begin(
    mut config: Config,
    outside: Outside,
    channel: Rc<Channel>,
) -> Result<Supervisor, Unstarted> {
    prctl::set_child_subreaper(true)?;
    let signals = SignalFd::with_flags(
        &SigSet::all(),
        SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK,
    )?;
    match config.group {
        Group::InTerminal | Group::InSession => {
            setsid()?;
        }
        // The launcher gets its group's signals, and passes them on.
        Group::InFront { .. } => setpgid(NOBODY_ELSE, NOBODY_ELSE)?,
        // Below, after the program has inherited it.
        Group::Launchers => {}
    }
    let anchor = Anchor::make(config.group != Group::Launchers)?;
    let terminal = match &config.streams {
        Some(streams) => {
            // SAFETY: the request takes a number; 0 means not to steal the terminal.
            unsafe { make_controlling(std::os::fd::AsRawFd::as_raw_fd(&streams.terminal), 0) }?;
            tcsetpgrp(&streams.terminal, anchor.pid())?;
            Some(streams.terminal.try_clone()?)
        }
        // The launcher's own terminal, which the program shares.
        None => {
            let stdin = std::io::stdin();
            if isatty(&stdin).unwrap_or(false) {
                Some(stdin.as_fd().try_clone_to_owned()?)
            } else {
                None
            }
        }
    };
    if let Group::InFront { at_once } = config.group {
        let outer = outside.number_of(anchor.pid().as_raw());
        let _ = channel.send(&ToLauncher::Group { outer });
        if at_once {
            wait_until_in_front(&anchor);
        }
    }
    let address = format!(
        "cargo-snapshot/{}/{:016x}",
        config.launcher_pid,
        random_number()
    );
    let switchboard = Switchboard::open(&address)?;
    let children = Children::new()?;
    // None of these holds anything of the program's. Takes need not look.
    own_processes::add(getpid().as_raw());
    own_processes::add(anchor.pid().as_raw());
    if outside.is_another() {
        own_processes::add(INIT);
    }
    let files = start_journal(&config);
    if let Some(pid) = files.pid() {
        own_processes::add(pid);
    }
    let filters = Filters::inherited(config.deny.len())?;
    let limits = Limits::raise()?;
    let live = spawn::program(&config, &address, anchor.group(), &outside, limits)?;
    anchor.leave();
    if config.group == Group::Launchers {
        setpgid(NOBODY_ELSE, NOBODY_ELSE)?;
    }
    if !outside.is_another() {
        anchor.guard(&live);
    }
    // Whoever reads the program's output must see its end when the program has ended.
    let nothing = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    dup2_stdin(&nothing)?;
    dup2_stdout(&nothing)?;
    dup2_stderr(&nothing)?;
    inherited::close(&config.inherited);
    config.program.env.clear();
    let now = now_ns();
    Ok(Supervisor {
        next_tick_ns: config.every_ns().map(|every_ns| now + every_ns),
        start_snapshot_due: config.at_start,
        config,
        channel,
        signals,
        switchboard,
        anchor: Some(anchor),
        live: Live::started(live, &outside, filters),
        outside,
        home: Home::own(),
        timeline: snapshot_core::terms::timeline::Timeline::default(),
        aspects: Aspects {
            screens: Screens::of(terminal),
            children,
            keepers: Keepers::default(),
            closings: Closings::default(),
            files,
        },
        dying: std::collections::HashSet::new(),
        silent_copies: Vec::new(),
        phase: Phase::Running,
        waiting: std::collections::VecDeque::new(),
        asked: None,
        next_request: 0,
        late: None,
        callers: Vec::new(),
        presses: Presses::default(),
        held_press: None,
        interrupts: Arrivals::default(),
        sent_interrupts: Vec::new(),
        interrupt_after_take: None,
        started: false,
        spawned_ns: now,
        launcher_gone: false,
        has_own_use: false,
        // There is no journal that could answer.
    })
}

/// Without a journal files stay as the branch leaves them, and every take says so.
fn start_journal(config: &Config) -> Files {
    let Some(trees) = &config.trees else {
        return Files::default();
    };
    let under_way = match CallUnderWay::new() {
        Ok(under_way) => under_way,
        Err(error) => return Files::without(&error),
    };
    let settings = Settings {
        trees: trees.clone(),
        tag: format!(
            "{}-{:08x}",
            config.launcher_pid,
            random_number() & 0xffff_ffff
        ),
        outputs: process::outputs(),
        left: Vec::new(),
        under_way,
    };
    Files::with(settings)
}

/// Waits until the program's group is in front: else the program can't read.
fn wait_until_in_front(anchor: &Anchor) {
    let Some(terminal) = inherited::terminal() else {
        return;
    };
    let until = Instant::now() + FRONT;
    while tcgetpgrp(&terminal) != Ok(anchor.pid()) && Instant::now() < until {
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// So that nobody can guess the address and occupy it.
fn random_number() -> u64 {
    let mut bytes = [0_u8; 8];
    // SAFETY: writes at most the length given, which is the array's.
    unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    u64::from_le_bytes(bytes)
}
