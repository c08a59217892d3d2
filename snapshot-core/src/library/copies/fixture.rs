//! Fixtures that are set up once, and of which each test gets a copy.
//!
//! Context: IN-PROCESS.
#![expect(unsafe_code, reason = "calls tests by their addresses")]

use std::any::Any;
use std::panic::resume_unwind;
use std::process::{ExitCode, Termination};
use std::sync::Mutex;

use super::client::{Client, End};
use super::host::{Call, host};
use super::place::Place;
use super::talk::{Orders, Request};
use crate::library::api::agent::Agent;

/// Something expensive that many tests need: set up once, in a process of its own, and then copied for
/// each test, with its threads, runtimes, open files and timers. No test sees what another has done.
///
/// ```no_run
/// use snapshot_core::Fixture;
/// # struct Database; impl Database {
/// #   fn load() -> Self { Self } fn insert(&mut self, _: u32) {} fn count(&self) -> usize { 0 } }
///
/// static DATABASE: Fixture<Database> = Fixture::new(Database::load);
///
/// #[test]
/// fn an_insert_is_counted() {
///     DATABASE.test(|database| {
///         database.insert(7);
///         assert_eq!(database.count(), 1_000_001);
///     });
/// }
/// ```
///
/// Works with `cargo test` and with `cargo nextest`, where all test processes of a run share the host. The
/// tests of one fixture run one after the other; those of several fixtures at the same time.
///
/// What a test can change, and the next one doesn't see: memory, threads, descriptors, file offsets, pipes,
/// local sockets, sets of events, timers, the environment, the working directory, limits, handlers. Processes
/// that a test has started are ended. **What stays: the contents of files, and what went to other
/// processes**: a server that the fixture has started is not copied. A descriptor that others have as well is
/// named in the output of the first test.
///
/// The fixture is dropped when the tests have ended. Under `snapshot-launch`, as with
/// `cargo nextest run --debugger snapshot-launch`, the test's own process sets up, so that the test itself
/// can be snapshotted.
#[derive(Debug)]
pub struct Fixture<T: 'static> {
    set_up: fn() -> T,
    client: Mutex<Option<Client>>,
}

impl<T: 'static> Fixture<T> {
    /// A fixture. `set_up` runs when a test first needs it, before the `main` of its process, after the
    /// constructors of shared libraries. What it prints is in the output of the test that came first.
    pub const fn new(set_up: fn() -> T) -> Self {
        Self {
            set_up,
            client: Mutex::new(None),
        }
    }

    /// Runs a test in a copy of the fixture. It captures nothing: it may run in another process.
    ///
    /// # Panics
    /// As the test does, with its message. Also if it returns an error, ends its process, crashes or is killed;
    /// or if the fixture can't be set up or copied.
    #[track_caller]
    pub fn test<R: Termination>(&self, test: fn(&mut T) -> R) {
        if Agent::here().is_some() {
            let mut state = (self.set_up)();
            let code = test(&mut state).report();
            assert!(code == ExitCode::SUCCESS, "the test has returned an error");
            return;
        }
        let orders = Orders {
            host: Place::of(host::<T> as fn(Orders) -> ! as *const ()),
            set_up: Place::of(self.set_up as *const ()),
            owner: 0,
        };
        let request = Request {
            set_up: orders.set_up,
            call: Place::of(call::<T, R> as Call as *const ()),
            test: Place::of(test as *const ()),
        };
        let is_fixed = [orders.host, request.set_up, request.call, request.test]
            .iter()
            .all(|place| place.is_fixed());
        assert!(
            is_fixed,
            "the test, its fixture and snapshot-core must be linked into one file"
        );
        let end = match Client::ask(&self.client, orders, request) {
            Ok(end) => end,
            Err(why) => panic!("no test of this fixture can run: {why}"),
        };
        match end {
            End::Returned(true) => {}
            End::Returned(false) => panic!("the test has returned an error"),
            // The copy has shown the message.
            End::Panicked(message) => resume_unwind(Box::new(message) as Box<dyn Any + Send>),
            End::Early(ended) => panic!("the test has not come to its end: its process {ended}"),
        }
    }
}

/// Calls a test of a fixture; returns the code for its copy.
unsafe fn call<T, R: Termination>(state: *mut (), test: *const ()) -> i32 {
    // SAFETY: the host's state is of this type, and nobody else has it.
    let state = unsafe { &mut *state.cast::<T>() };
    // SAFETY: `test` is made of such a function.
    let test = unsafe { std::mem::transmute::<*const (), fn(&mut T) -> R>(test) };
    i32::from(test(state).report() != ExitCode::SUCCESS)
}
