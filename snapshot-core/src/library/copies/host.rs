//! The process that has set a fixture up, and is the template of the tests' copies. It is this same
//! program, started once more: a variable makes it a host before `main`.
//!
//! A client that has no host yet binds the name, and starts the host with the listening socket as its
//! stdin. Requests may come from then on; they wait until the fixture is set up.
//!
//! Context: IN-PROCESS, but for the server, which is AS-SAFE.
#![expect(unsafe_code, reason = "calls functions by their addresses")]

use std::any::Any;
use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::ending::{PANICKED, work_and_end};
use super::serving::serve;
use super::talk::{Answer, Orders, Request, VARIABLE};
use crate::library::alone::{
    self,
    template::{Role, Server},
};
use crate::library::api::{attempt::message_of, snapshots::flush_output};
use crate::process::notices::WORD_BYTES;
use crate::sys::{self, Errno};
use crate::terms::{Ended, Gap, Obstacle};

/// Hosts, if the program was started for that; else returns. A program with more rights than its caller
/// never hosts.
pub(in crate::library) fn host_if_asked() {
    // SAFETY: asks; there is one thread.
    let orders = unsafe { libc::getenv(c"SNAPSHOT_FIXTURE_HOST".as_ptr()) };
    // SAFETY: asks.
    if orders.is_null() || unsafe { libc::getauxval(libc::AT_SECURE) } != 0 {
        return;
    }
    // SAFETY: the environment's texts end with a NUL.
    let orders = unsafe { CStr::from_ptr(orders) };
    let Some(orders) = Orders::from_text(orders.to_bytes()) else {
        sys::write(
            2,
            b"snapshot: SNAPSHOT_FIXTURE_HOST is for the library alone\n",
        );
        sys::exit_group(2);
    };
    // SAFETY: there is one thread. Programs that the fixture starts are no hosts.
    unsafe { std::env::remove_var(VARIABLE) };
    // As std does before `main`.
    // SAFETY: sets no handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    // SAFETY: the client is this program, and says where its function is; the type is this one.
    let host = unsafe { std::mem::transmute::<*const (), fn(Orders) -> !>(orders.host.function()) };
    host(orders)
}

/// Sets up and serves, in a process that does nothing else.
pub(super) fn host<T>(orders: Orders) -> ! {
    // SAFETY: the client has this function by this type.
    let set_up = unsafe { std::mem::transmute::<*const (), fn() -> T>(orders.set_up.function()) };
    let mut host = match Host::open(orders) {
        Ok(host) => host,
        Err(errno) => give_up(&format!(
            "no test can reach it: {}",
            std::io::Error::from(errno)
        )),
    };
    let Ok(mut state) = catch_unwind(set_up) else {
        flush_output();
        sys::exit_group(PANICKED);
    };
    match serve(&mut host) {
        Ok(Role::Copy) => work_and_end(|| run(&mut state, host.request)),
        // What the fixture has cleans up now. Nobody is asked for an end: there are no tests any more.
        Ok(Role::Template) => {
            drop(state);
            std::process::exit(0)
        }
        Err(error) => give_up(&error.to_string()),
    }
}

fn give_up(why: &str) -> ! {
    eprintln!("snapshot: the fixture can't be copied: {why}");
    flush_output();
    sys::exit_group(1)
}

/// What calls a test: the functions that [`super::fixture`] makes for each type.
pub(super) type Call = unsafe fn(*mut (), *const ()) -> i32;

/// In a copy: runs the test, and leaves a word that says that it has come to its end.
fn run<T>(state: &mut T, request: Option<Request>) -> i32 {
    let Some(request) = request.filter(|request| request.call.is_fixed()) else {
        eprintln!("snapshot: the test is no function of this program");
        return 2;
    };
    // SAFETY: the client is this program, and has the function by this type.
    let call = unsafe { std::mem::transmute::<*const (), Call>(request.call.function()) };
    let state = std::ptr::from_mut(state).cast();
    let test = request.test.function();
    // SAFETY: the client has made this call for the fixture's type and the test's.
    let done = catch_unwind(AssertUnwindSafe(|| unsafe { call(state, test) }));
    match done {
        Ok(code) => {
            leave_word(RETURNED, "");
            code
        }
        Err(panic) => {
            leave_word(PANIC, message_of(&*panic as &(dyn Any + Send)));
            PANICKED
        }
    }
}

/// The first byte of a copy's word: its test has returned, or has panicked with the text behind it.
pub(super) const RETURNED: u8 = b'r';
pub(super) const PANIC: u8 = b'p';

fn leave_word(mark: u8, text: &str) {
    if let Some(notices) = alone::notices() {
        let mut word = vec![mark];
        word.extend_from_slice(text.as_bytes());
        notices.leave_word(&word);
    }
}

/// Descriptors of the host, above those that programs use.
const HIGH: i32 = 800;

struct Host {
    orders: Orders,
    /// The listening socket, the owner's pidfd, and a set of both.
    own: [i32; 5],
    /// The client of the request under way; -1 if there is none.
    client: i32,
    /// Its stdout and stderr.
    output: [i32; 2],
    request: Option<Request>,
}

impl Host {
    const LISTENER: usize = 0;
    const OWNER: usize = 1;
    const SET: usize = 2;

    fn open(orders: Orders) -> Result<Self, Errno> {
        let high = |fd: i32| {
            let moved = sys::duplicate_above(fd, HIGH).or_else(|_| sys::duplicate_above(fd, 3));
            sys::close(fd);
            moved
        };
        let listener = high(0)?;
        // It gets the lowest number, which is 0.
        let _nothing = sys::open(c"/dev/null", libc::O_RDONLY)?;
        let owner = high(sys::pidfd_open(orders.owner)?)?;
        let set = high(sys::epoll()?)?;
        for fd in [listener, owner] {
            sys::epoll_add(set, fd, libc::EPOLLIN.cast_unsigned(), 0)?;
        }
        Ok(Self {
            orders,
            own: [listener, owner, set, 1, 2],
            client: -1,
            output: [-1; 2],
            request: None,
        })
    }

    /// The next request of a client of this user; `None` if the one that has come is none.
    fn accept(&mut self) -> Option<Request> {
        let client = sys::accept(self.own[Self::LISTENER]).ok()?;
        self.client = client;
        let user = sys::peer_ids(client).map(|(user, _)| user);
        let mut bytes = [0; Request::BYTES];
        let received = sys::receive_pair(client, &mut bytes);
        if user != Some(sys::effective_ids().0) {
            return None;
        }
        let (Request::BYTES, output) = received.ok()? else {
            return None;
        };
        self.output = output?;
        let request = Request::decode(&bytes)?;
        if request.set_up != self.orders.set_up {
            self.answer(Answer::Stranger, &[]);
            return None;
        }
        Some(request)
    }

    fn answer(&self, answer: Answer, word: &[u8]) {
        // If the client is gone, nobody wants the answer.
        let _ = sys::send(self.client, &answer.encode(word.len()));
        if !word.is_empty() {
            let _ = sys::send(self.client, word);
        }
    }

    fn forget_client(&mut self) {
        for fd in [self.client, self.output[0], self.output[1]] {
            if fd >= 0 {
                sys::close(fd);
            }
        }
        self.client = -1;
        self.output = [-1; 2];
        self.request = None;
    }
}

impl Server for Host {
    fn own(&self) -> &[i32] {
        &self.own
    }

    fn source(&self) -> i32 {
        self.own[Self::SET]
    }

    fn asker(&self) -> i32 {
        self.client
    }

    fn will_differ(&mut self, gap: Gap) {
        let mut digits = [0; 10];
        let fd = crate::kernel::procfs::decimal(gap.fd.unsigned_abs(), &mut digits);
        let parts: [&[u8]; 5] = [
            b"snapshot: fd ",
            fd,
            b" (",
            gap.kind.name().as_bytes(),
            b") is not the fixture's alone: what a test does with it stays\n",
        ];
        for part in parts {
            sys::write(2, part);
        }
    }

    fn next(&mut self) -> bool {
        loop {
            let ready = sys::poll_readable([self.own[Self::OWNER], self.own[Self::LISTENER]], -1);
            match ready {
                Ok([true, _]) => return false,
                Ok([_, true]) => {}
                _ => continue,
            }
            self.request = self.accept();
            match self.request {
                Some(request) if request == Request::end(self.orders.set_up) => {
                    sys::close(self.own[Self::SET]);
                    sys::close(self.own[Self::LISTENER]);
                    self.forget_client();
                    return false;
                }
                Some(_) => return true,
                None => self.forget_client(),
            }
        }
    }

    fn in_copy(&mut self) {
        for (fd, number) in self.output.into_iter().zip([1, 2]) {
            // If this fails, the output is in the host's, and the client misses it.
            let _ = sys::duplicate_to(fd, number, false);
        }
        for fd in self.own.into_iter().filter(|fd| *fd > 2) {
            sys::close(fd);
        }
        for fd in [self.client, self.output[0], self.output[1]] {
            sys::close(fd);
        }
    }

    fn ended(&mut self, ended: Ended, not_restored: u32) {
        let mut word = [0; WORD_BYTES];
        let length = alone::notices().map_or(0, |notices| notices.take_word(&mut word));
        let answer = Answer::Ended {
            ended,
            not_restored,
        };
        self.answer(answer, word.get(..length).unwrap_or(&[]));
        self.forget_client();
    }

    fn refused(&mut self, obstacle: Obstacle) -> bool {
        self.answer(Answer::Refused(obstacle), &[]);
        self.forget_client();
        true
    }
}
