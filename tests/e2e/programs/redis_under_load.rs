//! An installed Redis server reverts again and again while a benchmark keeps it busy over TCP.
//! After each revert it answers new clients, and has the data of the snapshot.
//!
//! The benchmark's connections may break: a request that the dead branch has read gets no answer.
//! So the test restarts a benchmark that has gone silent.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use snapshot_tests::redis::{self, Client};
use snapshot_tests::{Ending, Event, PipedSession, Seed, deadline, outside};

/// How often, and how long a branch is under load.
const ROUNDS: u64 = 5;
const MANY_ROUNDS: u64 = 50;
const LOAD: Duration = Duration::from_secs(1);

/// How many of those rounds a session has: a launched program has two minutes to live.
const ROUNDS_A_SESSION: u64 = 25;

/// How long a benchmark that is alive may be silent.
const SILENCE: Duration = Duration::from_millis(500);

/// Requests a second at the least; it makes tens of thousands.
const BUSY: u64 = 500;

/// The connections of the benchmark.
const CLIENTS: usize = 20;

const ENDINGS: [Ending; 3] = [Ending::Kill, Ending::Command, Ending::Interrupt];

/// A server, and who keeps it busy.
struct Server {
    session: PipedSession,
    port: u16,
    benchmark: PathBuf,
    running: Option<Child>,
    /// Connected all the time, with nothing under way when a branch begins or ends.
    held: Client,
}

impl Server {
    /// None where Redis is absent.
    fn new() -> Option<Self> {
        let program = outside::find("redis-server")?;
        let benchmark = outside::find("redis-benchmark")?;
        let port = free_port();
        let arguments = ["--bind", "127.0.0.1", "--port", &port.to_string()];
        Some(Self {
            session: redis::server(program, &arguments),
            port,
            benchmark,
            running: None,
            held: Client::tcp(port),
        })
    }

    fn client(&self) -> Client {
        Client::tcp(self.port)
    }

    /// Sees to it that the benchmark runs, and gets answers.
    fn keep_busy(&mut self) {
        let mut client = self.client();
        let gets_answers = |client: &mut Client| {
            let before = client.info("total_commands_processed");
            let mut looks = 0;
            let mut enough = || {
                // A look is a command as well.
                looks += 1;
                client.info("total_commands_processed") > before + looks + BUSY / 5
            };
            deadline::wait_for(SILENCE, || enough().then_some(())).is_some()
        };
        let is_running = matches!(self.running.as_mut().map(Child::try_wait), Some(Ok(None)));
        if is_running && gets_answers(&mut client) {
            return;
        }
        self.stop();
        let mut command = Command::new(&self.benchmark);
        command
            .args([
                "-p",
                &self.port.to_string(),
                "-c",
                &CLIENTS.to_string(),
                "-n",
                "20000",
            ])
            .args(["-t", "set,get,incr,sadd,hset", "-r", "10000", "-d", "100"])
            .args(["-P", "4", "-q", "-l"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.running = Some(deadline::spawn(&mut command));
        let busy = deadline::wait(|| gets_answers(&mut client).then_some(()));
        if busy.is_none() {
            self.session.fail("the benchmark gets no answers");
        }
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.running.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// A snapshot, a second of load, and back.
    fn round(&mut self, number: u64, seed: &mut Seed) {
        self.keep_busy();
        let mut client = self.client();
        let value = format!("value-{number}");
        assert_eq!(client.ask(&format!("SET kept {value}")), "OK");
        assert_eq!(client.ask("DEL undone"), "0");
        let list = client.ask("RPUSH rounds x");
        assert_eq!(list, number.to_string());
        drop(client);

        let info = self.held.ask("CLIENT INFO");
        let mut words = info.split(' ');
        let address = words.find_map(|word| word.strip_prefix("addr="));
        let address = address.expect("a client has an address").to_owned();

        let (port, held, ending) = (self.port, &mut self.held, *seed.pick(&ENDINGS));
        let taken = self.session.attempt(ending, |_| {
            let mut client = Client::tcp(port);
            let before = client.info("total_commands_processed");
            assert_eq!(client.ask("SET kept changed"), "OK");
            assert_eq!(client.ask("SET undone 1"), "OK");
            assert_eq!(client.ask("DEL rounds"), "1");
            // Its load is what the snapshot has to forget.
            deadline::pace(LOAD);
            let commands = client.info("total_commands_processed") - before;
            assert!(commands > BUSY, "only {commands} in the branch");
            assert_eq!(client.ask("GET kept"), "changed");
            assert_eq!(held.ask("GET kept"), "changed");
        });
        assert_eq!(self.held.ask("GET kept"), value);

        for _ in 0..4 {
            let mut client = self.client();
            assert_eq!(client.ask("PING"), "PONG", "{ending:?}");
            assert_eq!(client.ask("GET kept"), value);
            assert_eq!(client.ask("GET undone"), "nothing");
            assert_eq!(client.ask("LLEN rounds"), number.to_string());
            assert_eq!(client.ask("SET other 1"), "OK");
            assert_eq!(client.ask("GET other"), "1");
        }
        self.its_clock_ticks();
        assert_only_connections(&taken, &address);
    }

    /// What Redis does by its timer goes on: a key without readers is gone when its time is.
    fn its_clock_ticks(&mut self) {
        let mut client = self.client();
        let before = client.info("expired_keys");
        assert_eq!(client.ask("SET short 1 PX 20"), "OK");
        let expired = deadline::wait(|| (client.info("expired_keys") > before).then_some(()));
        if expired.is_none() {
            self.session.fail("its timer does not fire");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What a take names of it: its clients, each with whom it is connected to, among them this
/// one, and nothing else but the pipes that it was started with.
fn assert_only_connections(taken: &Event, client: &str) {
    let named = taken.list("not_rolled_back");
    for item in &named {
        let is_connection =
            item.text("kind") == "socket" && item.to_string().contains("127.0.0.1:");
        let is_outside = item.text("kind") == "pipe" && item.text("why").contains("outside");
        assert!(is_connection || is_outside, "{item}");
    }
    let is_named = named.iter().any(|item| item.to_string().contains(client));
    assert!(is_named, "{client}: {taken}");
}

/// A port that nobody listens on, and that no client gets by chance.
fn free_port() -> u16 {
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).expect("below that");
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (first..32_000).find(is_free).expect("one is free")
}

fn rounds(count: u64) {
    let mut seed = Seed::new();
    let mut left = count;
    while left > 0 {
        let Some(mut server) = Server::new() else {
            return;
        };
        let here = left.min(ROUNDS_A_SESSION);
        for number in 1..=here {
            server.round(number, &mut seed);
        }
        left -= here;
        server.stop();
        server.held.settle(1);
        server.held.send("SHUTDOWN NOSAVE");
        assert!(server.session.wait_gone().success());
    }
}

#[test]
fn redis_goes_back_under_load() {
    rounds(ROUNDS);
}

#[test]
#[ignore = "takes minutes"]
fn redis_goes_back_under_load_fifty_times() {
    rounds(MANY_ROUNDS);
}
