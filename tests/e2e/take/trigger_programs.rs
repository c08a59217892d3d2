//! Installed programs that use SIGUSR1 themselves: a signal from inside the session works as
//! without the tool, and one from outside takes a snapshot.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::unistd::{User, geteuid};
use snapshot_tests::deadline::Output;
use snapshot_tests::postgres::Cluster;
use snapshot_tests::{Launch, PipedSession, Place, Signal, outside, process};

/// How a program is run: without the tool, and with it with namespaces and without.
const WAYS: [Option<&str>; 3] = [None, Some("auto"), Some("never")];

/// A shell that runs a script, in one of the ways.
fn shell(shell: &Path, script: &str, way: Option<&str>) -> PipedSession {
    let launch = match way {
        None => Launch::bare(shell),
        Some(way) => Launch::program(shell).flag("--isolate").flag(way),
    };
    launch.args(["-c", script]).piped()
}

/// Runs a script to its end, in one of the ways. No snapshot may have been taken.
fn run(program: &Path, script: &str, way: Option<&str>) -> Output {
    let mut session = shell(program, script, way);
    session.wait_exit();
    assert!(session.events_named("taken").is_empty(), "{way:?}");
    assert!(session.events_named("refused").is_empty(), "{way:?}");
    session.finish()
}

/// The script's tail runs once, with the status that it has without the tool.
fn traps(name: &str, script: &str) {
    let Some(program) = outside::find(name) else {
        return;
    };
    let [bare, with, without] = WAYS.map(|way| run(&program, script, way));
    assert!(bare.stdout.contains("trapped"), "{bare:?}");
    assert!(bare.stdout.contains("tail"), "{bare:?}");
    for output in [with, without] {
        assert_eq!(output.stdout, bare.stdout);
        assert_eq!(output.status.code(), bare.status.code());
    }
}

/// A child, the shell itself, and a child of a child send it; the last one while the shell
/// waits for that child.
const TRAP: &str = "
trap 'echo trapped' USR1
(kill -USR1 $$) & wait
kill -USR1 $$
sh -c \"sh -c 'kill -USR1 $$'; echo done\"
echo tail
exit ";

#[test]
fn bash_traps_it() {
    for status in ["0", "3"] {
        traps("bash", &format!("{TRAP}{status}"));
    }
}

#[test]
fn zsh_traps_it() {
    for status in ["0", "3"] {
        traps("zsh", &format!("{TRAP}{status}"));
    }
}

#[test]
fn fish_handles_it() {
    let script = "
function trapped --on-signal USR1; echo trapped; end
sh -c \"kill -USR1 $fish_pid\"
sh -c \"sh -c 'kill -USR1 $fish_pid'; echo done\"
echo tail
exit ";
    for status in ["0", "3"] {
        traps("fish", &format!("{script}{status}"));
    }
}

/// From outside it takes, and the trap is not run; after a revert the trap is what it was.
#[test]
fn from_outside_a_shell_with_a_trap_is_taken() {
    let script = "
trap 'echo trapped' USR1
echo ready
while read -r line; do
  case $line in kill) kill -USR1 $$;; quit) exit 5;; *) echo \"read $line\";; esac
done
echo end";
    for name in ["bash", "zsh"] {
        let Some(program) = outside::find(name) else {
            return;
        };
        for way in ["auto", "never"] {
            let mut session = shell(&program, script, Some(way));
            session.next_line("it runs", |line| line == "ready");
            session.take();
            session.signal(Signal::SIGUSR1);
            session.next_taken();
            session.send("a");
            session.next_line("it reads", |line| line == "read a");
            assert!(!session.stdout().contains("trapped"));
            session.send("kill");
            session.next_line("its trap", |line| line == "trapped");
            session.revert();
            if way == "auto" {
                // Without namespaces it has a new number, and the shell does not know it.
                session.send("kill");
                session.next_line("its trap", |line| line == "trapped");
            }
            session.send("b");
            session.next_line("it reads", |line| line == "read b");
            assert_eq!(session.events_named("taken").len(), 2);
            session.commit();
            session.send("quit");
            assert_eq!(session.wait_gone().code(), Some(5));
        }
    }
}

#[test]
fn dd_prints_its_statistics() {
    let (Some(bash), Some(_)) = (outside::find("bash"), outside::find("dd")) else {
        return;
    };
    // The shell becomes dd, and its child is dd's then. A line on stdin has the child send.
    let script = "
(read -r line <&3; kill -USR1 $$; read -r line <&3; kill -TERM $$) 3<&0 </dev/null &
exec dd if=/dev/zero of=/dev/null bs=4k";
    for way in ["auto", "never"] {
        let mut session = shell(&bash, script, Some(way));
        session.next("started");
        let live = session.live_pid();
        session.wait_until("it is dd", || {
            process::Process::look(live).is_some_and(|process| process.name == "dd")
                && process::status(live, "SigCgt").is_some_and(|caught| caught.contains('2'))
        });
        session.take();
        session.signal(Signal::SIGUSR1);
        session.next_taken();
        assert!(!session.stderr().contains("records in"));
        session.send("usr1");
        session.wait_until_stderr("records in");
        assert_eq!(session.events_named("taken").len(), 2);
        session.commit();
        session.send("term");
        session.wait_gone();
    }
}

#[test]
fn node_has_its_listener_and_its_inspector() {
    let Some(node) = outside::find("node") else {
        return;
    };
    let script = "
const { execFileSync } = require('child_process');
process.stdin.setEncoding('utf8');
process.stdin.on('data', (text) => {
  for (const line of text.trim().split('\\n')) {
    if (line === 'listen') process.on('SIGUSR1', () => console.log('heard'));
    if (line === 'child') execFileSync('sh', ['-c', `kill -USR1 ${process.pid}`]);
    if (line === 'self') process.kill(process.pid, 'SIGUSR1');
    console.log('did ' + line);
  }
});
process.stdin.on('end', () => process.exit(4));
console.log('ready');";
    for way in ["auto", "never"] {
        let mut session = Launch::program(&node)
            .flag("--isolate")
            .flag(way)
            .args(["--inspect-port=0", "-e", script])
            .piped();
        session.next_line("it runs", |line| line == "ready");
        session.send("self");
        session.wait_until_stderr("Debugger listening on");
        session.next_line("it goes on", |line| line == "did self");
        session.send("listen");
        session.next_line("it goes on", |line| line == "did listen");
        for from in ["child", "self"] {
            session.send(from);
            session.next_line("its listener", |line| line == "heard");
        }
        assert!(session.events_named("taken").is_empty());
        session.take();
        session.send("child");
        session.next_line("its listener", |line| line == "heard");
        assert_eq!(session.events_named("taken").len(), 1);
        session.commit();
        session.close_stdin();
        assert_eq!(session.wait_gone().code(), Some(4));
        let heard = session.stdout();
        assert_eq!(heard.lines().filter(|line| *line == "heard").count(), 3);
    }
}

#[test]
fn nginx_opens_its_logs_again() {
    let (Some(bash), Some(nginx)) = (outside::find("bash"), find_in_sbin("nginx")) else {
        return;
    };
    for way in ["auto", "never"] {
        let place = Place::new();
        let work = place.work();
        let file = |name: &str| work.join(name);
        let at = work.display();
        let user = User::from_uid(geteuid()).ok().flatten();
        let user = user.map_or(String::new(), |user| format!("user {};", user.name));
        let settings = format!(
            "daemon off; {user} worker_processes 2; pid {at}/pid; error_log {at}/error.log notice;
             events {{}}
             http {{
               access_log {at}/access.log; client_body_temp_path {at}/body;
               proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;
               uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
               server {{ listen unix:{at}/socket; }}
             }}"
        );
        fs::write(file("conf"), settings).expect("the place is ours");
        let nginx = format!("{} -e {at}/error.log -c {at}/conf", nginx.display());
        // The shell becomes the master. Its child runs `nginx -s LINE` for each line of its input.
        let script = format!(
            "(while read -r line <&3; do {nginx} -s $line; echo did $line; done) 3<&0 </dev/null &
             exec {nginx}"
        );
        let mut session = Launch::program(&bash)
            .flag("--isolate")
            .flag(way)
            .args(["-c", &script])
            .place(&place)
            .piped();
        let log = file("error.log");
        let says =
            |path: &Path, text: &str| fs::read_to_string(path).is_ok_and(|log| log.contains(text));
        session.wait_until("it serves", || {
            file("socket").exists() && says(&log, "start worker process ")
        });
        let reopen = |session: &mut PipedSession, name: &str| {
            fs::rename(&log, file(name)).expect("it is there");
            session.send("reopen");
            session.wait_until("a new log", || log.exists());
            session.wait_until("the reason", || {
                [log.clone(), file(name)]
                    .iter()
                    .any(|log| says(log, "reopening logs"))
            });
        };
        reopen(&mut session, "error.1");
        assert!(session.events_named("taken").is_empty());
        session.take();
        fs::remove_file(file("error.1")).expect("it is there");
        reopen(&mut session, "error.2");
        assert_eq!(session.events_named("taken").len(), 1);
        session.commit();
        session.send("quit");
        assert!(session.wait_gone().success());
    }
}

/// A program that only the administrator has in the path.
fn find_in_sbin(name: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/usr/local/sbin"]
        .map(|directory| Path::new(directory).join(name))
        .into_iter()
        .find(|path| path.is_file())
        .or_else(|| outside::find(name))
}

/// A database whose server vacuums as often as it can.
struct Database(Cluster);

impl Database {
    /// The server in a session.
    fn serve(&self, way: &str) -> PipedSession {
        let mut words = self.0.server();
        for setting in [
            "fsync=off",
            "autovacuum_naptime=1s",
            "autovacuum_vacuum_threshold=1",
            "autovacuum_vacuum_scale_factor=0",
        ] {
            words.extend(["-c".into(), setting.into()]);
        }
        self.0.launch(&["--isolate", way]).args(words).piped()
    }

    /// How many processes a parallel query has.
    fn parallel_workers(&self) -> String {
        let query = "set parallel_setup_cost=0; set parallel_tuple_cost=0;
            set min_parallel_table_scan_size=0; set max_parallel_workers_per_gather=2;
            explain (analyze, costs off, timing off) select count(*) from pgbench_accounts";
        let plan = self.0.query(query);
        plan.lines()
            .find_map(|line| line.trim().strip_prefix("Workers Launched: "))
            .unwrap_or("none")
            .to_owned()
    }

    fn vacuums(&self) -> u64 {
        let query = "select sum(autovacuum_count) from pg_stat_user_tables";
        self.0.query(query).parse().unwrap_or(0)
    }
}

/// How long the database works, in each way.
const BUSY: Duration = Duration::from_secs(10);

#[test]
fn postgresql_vacuums_and_queries_in_parallel() {
    for way in ["auto", "never"] {
        let Some(database) = Cluster::new().map(Database) else {
            return;
        };
        let mut session = database.serve(way);
        session.wait_until_stderr("ready to accept connections");
        database
            .0
            .ask("pgbench", &["-q", "-i", "-s", "1", "postgres"]);
        let begun = Instant::now();
        let seconds = BUSY.as_secs() / 2;
        database.0.ask(
            "pgbench",
            &["-c", "4", "-T", &seconds.to_string(), "postgres"],
        );
        session.wait_until("it vacuums", || database.vacuums() >= 2);
        assert_eq!(database.parallel_workers(), "2", "{way}");
        assert!(
            session.events_named("taken").is_empty(),
            "{way}, in {:?}",
            begun.elapsed()
        );
        session.take_through_launcher();
        let before = database.vacuums();
        database.0.ask(
            "pgbench",
            &["-c", "4", "-T", &seconds.to_string(), "postgres"],
        );
        session.wait_until("it vacuums with a snapshot", || database.vacuums() > before);
        assert_eq!(database.parallel_workers(), "2", "{way}");
        assert_eq!(session.events_named("taken").len(), 1);
    }
}

/// A client, whose server goes on outside: what it knows goes back, and its connection serves
/// on and is named.
#[test]
fn psql_goes_back() {
    let Some(database) = Cluster::new().map(Database) else {
        return;
    };
    let mut server = database.serve("auto");
    server.wait_until_stderr("ready to accept connections");
    let mut session = Launch::program(database.0.program("psql"))
        .args(["-XAt", "-U", "postgres", "postgres"])
        .env("PGHOST", database.0.place().work())
        .piped();
    session.send("select 'ready';");
    session.next_line("ready", |line| line == "ready");
    for round in 0..3 {
        session.send("\\set word before");
        session.send("select :'word' || 1;");
        session.next_line("set", |line| line == "before1");
        let named = session.take().list("not_rolled_back");
        assert!(
            named.iter().any(|item| item.text("kind") == "socket"),
            "{named:?}"
        );
        session.send("\\set word after");
        session.send("select :'word' || 2;");
        session.next_line("changed", |line| line == "after2");
        if round == 1 {
            session.signal_live(snapshot_tests::Signal::SIGKILL);
            session.next("reverted");
        } else {
            session.revert();
        }
        session.send("select :'word' || 3;");
        session.next_line("back", |line| line == "before3");
    }
    session.send("\\q");
    assert!(session.wait_gone().success());
}
