//! Guest: obeys commands on stdin, one a line, and answers each with one line, `ok ...` or
//! `err ...`. Its memory (`set`, `get`) shows what a revert undid; the other commands each do
//! one thing that a snapshot must cope with.
#![expect(
    unsafe_code,
    reason = "signals, exits and terminals as a C program uses them"
)]

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::mem::MaybeUninit;
use std::process::{Child, Command};
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, raise, sigprocmask};
use nix::sys::termios::{LocalFlags, SetArg, cfmakeraw, tcgetattr, tcsetattr};
use nix::sys::wait::waitpid;
use nix::unistd::{
    Pid, getpgrp, getppid, getresgid, getresuid, getsid, setpgid, setsid, tcgetpgrp, tcsetpgrp,
};

type Answer = Result<String, Box<dyn std::error::Error>>;

/// How often this program's own handler has run, by signal.
static SEEN: [AtomicU32; 65] = [const { AtomicU32::new(0) }; 65];

/// The file that the exit handler deletes.
static DOOMED: OnceLock<CString> = OnceLock::new();

#[derive(Default)]
struct Commander {
    memory: BTreeMap<String, String>,
    ballast: Vec<u64>,
    file: Option<File>,
    child: Option<Child>,
    thread: Option<mpsc::Sender<()>>,
    hindrance: Option<usize>,
    sane: Option<nix::sys::termios::Termios>,
}

/// Gives up every capability.
fn drop_rights() -> Answer {
    let header = [0x2008_0522_u32, 0];
    let data = [0_u32; 6];
    // SAFETY: a header of two numbers and two sets of three, in this version's format.
    let answer = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) };
    if answer != 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    Ok(String::new())
}

fn main() {
    println!("ready {}", std::process::id());
    let mut commander = Commander::default();
    for line in std::io::stdin().lines() {
        let line = line.expect("stdin is text");
        let words: Vec<&str> = line.split_whitespace().collect();
        match commander.obey(&words) {
            Ok(answer) => println!("ok {answer}"),
            Err(why) => println!("err {why}"),
        }
    }
}

impl Commander {
    fn obey(&mut self, words: &[&str]) -> Answer {
        match *words {
            ["ping"] => Ok("pong".into()),
            ["set", key, value] => Ok(self
                .memory
                .insert(key.into(), value.into())
                .unwrap_or_else(|| "-".into())),
            ["get", key] => Ok(self.memory.get(key).map_or("-", String::as_str).into()),
            ["say", text] => {
                println!("{text}");
                Ok(String::new())
            }
            ["fill", megabytes] => {
                let words = megabytes.parse::<u64>()? << 17;
                self.ballast = (0..words).map(|word| word.wrapping_mul(31)).collect();
                Ok(words.to_string())
            }
            ["sum"] => Ok(self.ballast.iter().fold(0_u64, |a, b| a ^ b).to_string()),

            // Who it is.
            ["pid"] => Ok(std::process::id().to_string()),
            ["parent"] => Ok(getppid().to_string()),
            ["group"] => Ok(getpgrp().to_string()),
            ["session"] => Ok(getsid(None)?.to_string()),
            ["lead", what] => {
                match what {
                    "session" => setsid()?,
                    _ => setpgid(Pid::from_raw(0), Pid::from_raw(0)).map(|()| getpgrp())?,
                };
                Ok(String::new())
            }
            ["users"] => Ok(format!("{:?}", (getresuid()?, getresgid()?))),
            ["groups"] => Ok(format!("{:?}", nix::unistd::getgroups()?)),
            ["directory"] => Ok(std::env::current_dir()?.display().to_string()),
            ["link", path] => Ok(fs::read_link(path)?.display().to_string()),
            ["owner", path] => {
                Ok(std::os::unix::fs::MetadataExt::uid(&fs::metadata(path)?).to_string())
            }
            ["drop-rights"] => drop_rights(),
            ["setuid"] => {
                // SAFETY: takes a number; the user stays who it is.
                let answer = unsafe { libc::setuid(nix::unistd::getuid().as_raw()) };
                if answer != 0 {
                    return Err(std::io::Error::last_os_error().into());
                }
                Ok(String::new())
            }
            ["env", name] => Ok(std::env::var(name).unwrap_or_else(|_| "-".into())),
            ["environ", prefix] => Ok(names(prefix)),
            ["status", field] => status(field),
            ["fds"] => fds(),

            // How it ends.
            ["exit", code] => std::process::exit(code.parse()?),
            ["_exit", code] => {
                let code = code.parse()?;
                // SAFETY: ends the process at once, whatever its state.
                unsafe { libc::_exit(code) }
            }
            ["abort"] => std::process::abort(),
            ["panic"] => panic!("told to panic"),
            ["segv"] => {
                // SAFETY: none; address 8 is never mapped, and a crash is what is asked.
                unsafe { std::ptr::without_provenance_mut::<u8>(8).write_volatile(1) };
                Err("wrote to address 8".into())
            }
            ["overflow"] => Ok(overflow(0).to_string()),
            ["atexit", path] => delete_at_exit(path),
            ["exists", path] => Ok(fs::exists(path)?.to_string()),

            // Signals.
            ["raise", signal] => Ok(raise(parse(signal)?).map(|()| String::new())?),
            ["kill", pid, signal] => {
                kill(Pid::from_raw(pid.parse()?), parse(signal)?)?;
                Ok(String::new())
            }
            ["handle", signal, by] => Ok(describe(set(parse(signal)?, own_handler(), by)?)),
            ["default", signal, by] => Ok(describe(set(parse(signal)?, libc::SIG_DFL, by)?)),
            ["ignore", signal, by] => Ok(describe(set(parse(signal)?, libc::SIG_IGN, by)?)),
            ["action", signal] => action(parse(signal)?),
            ["seen", signal] => Ok(SEEN[parse(signal)? as usize]
                .load(Ordering::Relaxed)
                .to_string()),
            ["block", signal] => mask(SigmaskHow::SIG_BLOCK, parse(signal)?),
            ["unblock", signal] => mask(SigmaskHow::SIG_UNBLOCK, parse(signal)?),
            ["nap", milliseconds] => nap(milliseconds.parse()?),
            ["poll", milliseconds] => poll(milliseconds.parse()?),

            // Children and threads.
            ["spawn", program, ref arguments @ ..] => {
                let child = Command::new(program).args(arguments).spawn()?;
                let pid = child.id();
                self.child = Some(child);
                Ok(pid.to_string())
            }
            ["fork"] => fork(),
            ["wait", pid] => Ok(format!("{:?}", waitpid(Pid::from_raw(pid.parse()?), None)?)),
            ["thread"] => {
                let (end, until) = mpsc::channel();
                std::thread::spawn(move || until.recv());
                self.thread = Some(end);
                Ok(String::new())
            }
            ["join"] => {
                self.thread = None;
                while fs::read_dir("/proc/self/task")?.count() > 1 {
                    std::thread::yield_now();
                }
                Ok(String::new())
            }

            // What no copy can have.
            ["hinder"] => {
                self.hindrance = Some(io_setup()?);
                Ok(String::new())
            }
            ["unhinder"] => {
                if let Some(context) = self.hindrance.take() {
                    // SAFETY: a context of this process, with nothing under way.
                    unsafe { libc::syscall(libc::SYS_io_destroy, context) };
                }
                Ok(String::new())
            }

            // Files.
            ["open", path] => {
                self.file = Some(File::open(path)?);
                Ok(String::new())
            }
            ["read", count] => {
                let mut bytes = vec![0; count.parse()?];
                self.file()?.read_exact(&mut bytes)?;
                Ok(String::from_utf8(bytes)?)
            }
            ["offset"] => Ok(self.file()?.stream_position()?.to_string()),

            // The terminal.
            ["tty"] => Ok(tty()),
            ["raw"] => {
                let mut settings = tcgetattr(std::io::stdin())?;
                self.sane = Some(settings.clone());
                cfmakeraw(&mut settings);
                // Commands still end with a line feed, and answers begin a new line.
                tcsetattr(std::io::stdin(), SetArg::TCSANOW, &settings)?;
                Ok(String::new())
            }
            ["sane"] => {
                let settings = self.sane.as_ref().ok_or("it was never raw")?;
                tcsetattr(std::io::stdin(), SetArg::TCSANOW, settings)?;
                Ok(String::new())
            }
            ["size"] => size(),
            ["foreground"] => Ok(if tcgetpgrp(std::io::stdin())? == getpgrp() {
                "mine".into()
            } else {
                "another".into()
            }),
            ["lend-terminal"] => {
                use std::os::unix::process::CommandExt;
                let child = Command::new("sleep").arg("1000").process_group(0).spawn()?;
                let group = Pid::from_raw(i32::try_from(child.id())?);
                self.child = Some(child);
                tcsetpgrp(std::io::stdin(), group)?;
                println!("ok {group}");
                // It may not read after this.
                loop {
                    nix::unistd::pause();
                }
            }
            _ => Err(format!("unknown command {words:?}").into()),
        }
    }

    fn file(&mut self) -> Result<&mut File, &'static str> {
        self.file.as_mut().ok_or("no file is open")
    }
}

fn parse(name: &str) -> Result<Signal, nix::Error> {
    Signal::from_str(&format!("SIG{name}"))
}

fn names(prefix: &str) -> String {
    let mut names: Vec<String> = std::env::vars()
        .map(|(name, _)| name)
        .filter(|name| name.starts_with(prefix))
        .collect();
    names.sort();
    names.join(" ")
}

fn status(field: &str) -> Answer {
    let text = fs::read_to_string("/proc/self/status")?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .ok_or("no such field")?;
    Ok(value.trim().into())
}

/// The descriptors, without the one that lists them.
fn fds() -> Answer {
    let mut numbers: Vec<u32> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    numbers.retain(|number| fs::read_link(format!("/proc/self/fd/{number}")).is_ok());
    numbers.sort_unstable();
    Ok(format!("{numbers:?}"))
}

#[expect(
    unconditional_recursion,
    reason = "a stack overflow is what is asked for"
)]
fn overflow(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    overflow(frame[0] + 1) + frame[1]
}

fn delete_at_exit(path: &str) -> Answer {
    extern "C" fn delete() {
        if let Some(path) = DOOMED.get() {
            // SAFETY: a NUL-terminated path that lives as long as the program.
            unsafe { libc::unlink(path.as_ptr()) };
        }
    }
    File::create(path)?;
    DOOMED.set(CString::new(path)?).map_err(|_| "only one")?;
    // SAFETY: registers a function that lives as long as the program.
    unsafe { libc::atexit(delete) };
    Ok(String::new())
}

/// Counts, and reports that with one write, as a handler may.
extern "C" fn on_signal(number: libc::c_int) {
    let Some(seen) = usize::try_from(number).ok().and_then(|n| SEEN.get(n)) else {
        return;
    };
    let count = seen.fetch_add(1, Ordering::Relaxed) + 1;
    let mut line = *b"own signal 00 000\n";
    let digit = |value: u32| b'0' + u8::try_from(value % 10).unwrap_or(0);
    let signal = number.unsigned_abs();
    line[11] = digit(signal / 10);
    line[12] = digit(signal);
    line[14] = digit(count / 100);
    line[15] = digit(count / 10);
    line[16] = digit(count);
    // SAFETY: writes a live local of that length; async-signal-safe.
    unsafe { libc::write(1, line.as_ptr().cast(), line.len()) };
}

fn own_handler() -> libc::sighandler_t {
    on_signal as *const () as libc::sighandler_t
}

fn describe(handler: libc::sighandler_t) -> String {
    match handler {
        libc::SIG_DFL => "default",
        libc::SIG_IGN => "ignore",
        handler if handler == own_handler() => "own",
        _ => "strange",
    }
    .into()
}

/// Sets a disposition in one of C's ways, and returns the former one.
fn set(
    signal: Signal,
    handler: libc::sighandler_t,
    by: &str,
) -> Result<libc::sighandler_t, Box<dyn std::error::Error>> {
    match by {
        "signal" => {
            // SAFETY: the handler is a function of this program or a constant.
            let former = unsafe { libc::signal(signal as i32, handler) };
            if former == libc::SIG_ERR {
                return Err(std::io::Error::last_os_error().into());
            }
            Ok(former)
        }
        "sigaction" => {
            // SAFETY: all-zero is a valid `struct sigaction`.
            let mut new: libc::sigaction = unsafe { std::mem::zeroed() };
            new.sa_sigaction = handler;
            new.sa_flags = libc::SA_RESTART;
            Ok(sigaction(signal, &raw const new)?.sa_sigaction)
        }
        _ => Err("by signal or by sigaction".into()),
    }
}

fn sigaction(signal: Signal, new: *const libc::sigaction) -> std::io::Result<libc::sigaction> {
    let mut former = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: `new` is null or a live structure, `former` is writable.
    if unsafe { libc::sigaction(signal as i32, new, former.as_mut_ptr()) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it is filled in; all-zero was valid before.
    Ok(unsafe { former.assume_init() })
}

fn action(signal: Signal) -> Answer {
    let now = sigaction(signal, std::ptr::null())?;
    let restart = if now.sa_flags & libc::SA_RESTART != 0 {
        " restart"
    } else {
        ""
    };
    Ok(format!("{}{restart}", describe(now.sa_sigaction)))
}

fn mask(how: SigmaskHow, signal: Signal) -> Answer {
    sigprocmask(how, Some(&SigSet::from(signal)), None)?;
    Ok(String::new())
}

/// Sleeps in one call and reports how it ended and after how long.
fn nap(milliseconds: i64) -> Answer {
    let time = libc::timespec {
        tv_sec: milliseconds / 1000,
        tv_nsec: milliseconds % 1000 * 1_000_000,
    };
    println!("napping");
    let begin = Instant::now();
    // SAFETY: reads a live local; the remainder is not asked for.
    let result = unsafe { libc::nanosleep(&raw const time, std::ptr::null_mut()) };
    Ok(format!("{result} {}", begin.elapsed().as_millis()))
}

/// Waits for nothing in one call with a time limit, and reports how it ended and after how
/// long.
fn poll(milliseconds: i32) -> Answer {
    println!("polling");
    let begin = Instant::now();
    // SAFETY: looks at no descriptor.
    let result = unsafe { libc::poll(std::ptr::null_mut(), 0, milliseconds) };
    Ok(format!("{result} {}", begin.elapsed().as_millis()))
}

/// A context for asynchronous input and output.
fn io_setup() -> std::io::Result<usize> {
    let mut context = 0_usize;
    // SAFETY: writes one handle to a live local.
    let answer = unsafe { libc::syscall(libc::SYS_io_setup, 1, &raw mut context) };
    if answer == 0 {
        Ok(context)
    } else {
        Err(std::io::Error::last_os_error())
    }
}

fn fork() -> Answer {
    // SAFETY: the child makes system calls only.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Parent { child } => Ok(child.to_string()),
        nix::unistd::ForkResult::Child => loop {
            nix::unistd::pause();
        },
    }
}

fn tty() -> String {
    match tcgetattr(std::io::stdin()) {
        Ok(settings) if settings.local_flags.contains(LocalFlags::ICANON) => "sane",
        Ok(_) => "raw",
        Err(_) => "none",
    }
    .into()
}

fn size() -> Answer {
    let mut size = MaybeUninit::<libc::winsize>::zeroed();
    // SAFETY: TIOCGWINSZ fills a `winsize`.
    if unsafe { libc::ioctl(0, libc::TIOCGWINSZ, size.as_mut_ptr()) } != 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    // SAFETY: filled in above.
    let size = unsafe { size.assume_init() };
    Ok(format!("{} {}", size.ws_row, size.ws_col))
}
