//! A program's state of every kind that a copy can change, and the checks that find any change. For tests
//! that run one thing many times, each time from the same moment.
#![expect(unsafe_code, reason = "asks and changes what std has no name for")]

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

/// What a copy can change, as it is set up.
pub struct World {
    words: Vec<u64>,
    pipe: (PipeReader, PipeWriter),
    pair: (UnixStream, UnixStream),
    counter: EventFd,
    set: Epoll,
    file: File,
    asked: Sender<u64>,
    answered: Receiver<u64>,
    lock: Arc<Mutex<u64>>,
    runtime: tokio::runtime::Runtime,
    tasks: Arc<AtomicU64>,
    directory: tempfile::TempDir,
}

impl World {
    /// Sets all of it up.
    pub fn set_up() -> Self {
        // The test that has started this program may have limited its life.
        // SAFETY: sets no handler.
        unsafe { libc::alarm(0) };
        let mut pipe = std::io::pipe().expect("there are descriptors");
        pipe.1.write_all(b"in the pipe").expect("there is room");
        let mut pair = UnixStream::pair().expect("there are descriptors");
        pair.0.write_all(b"in the socket").expect("there is room");
        let counter = EventFd::from_value_and_flags(7, EfdFlags::EFD_NONBLOCK);
        let counter = counter.expect("there are descriptors");
        let set = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("there are descriptors");
        set.add(counter.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, 1))
            .expect("it can be added");
        let directory = tempfile::tempdir().expect("there is room");
        let mut file = File::create_new(directory.path().join("file")).expect("it is new");
        file.write_all(b"0123456789").expect("there is room");
        file.seek(SeekFrom::Start(3)).expect("it is a file");
        let (asked, questions) = channel();
        let (answers, answered) = channel();
        let lock = Arc::new(Mutex::new(0));
        let locked = Arc::clone(&lock);
        thread::Builder::new()
            .name("worker".into())
            .spawn(move || {
                let mut sum = 100;
                for question in questions {
                    sum += question;
                    *locked.lock().expect("nobody panics here") = sum;
                    let _ = answers.send(sum);
                }
            })
            .expect("there is room");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("there is room");
        let tasks = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&tasks);
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(1)).await;
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self {
            words: vec![42; 100_000],
            pipe,
            pair,
            counter,
            set,
            file,
            asked,
            answered,
            lock,
            runtime,
            tasks,
            directory,
        }
    }

    /// Finds all as it was set up.
    pub fn check(&mut self) {
        assert!(self.words.iter().all(|&word| word == 42), "memory");
        let mut bytes = [0; 11];
        self.pipe.0.read_exact(&mut bytes).expect("it is filled");
        assert_eq!(&bytes, b"in the pipe");
        let mut bytes = [0; 13];
        self.pair.1.read_exact(&mut bytes).expect("it is filled");
        assert_eq!(&bytes, b"in the socket");
        let mut ready = [EpollEvent::empty(); 4];
        let count = self.set.wait(&mut ready, EpollTimeout::ZERO);
        assert_eq!(count, Ok(1), "the set of events");
        assert_eq!(self.counter.read(), Ok(7), "the counter");
        assert_eq!(self.file.stream_position().expect("it is a file"), 3);
        assert_eq!(*self.lock.lock().expect("nobody panics here"), 0);
        self.asked.send(5).expect("the worker lives");
        assert_eq!(self.answered.recv(), Ok(105), "the worker");
        let before = self.tasks.load(Ordering::Relaxed);
        let slept = self.runtime.block_on(async {
            let slept = tokio::spawn(tokio::time::sleep(Duration::from_millis(1)));
            slept.await.is_ok()
        });
        assert!(slept, "the runtime");
        while self.tasks.load(Ordering::Relaxed) == before {
            thread::sleep(Duration::from_micros(100));
        }
        assert_eq!(std::env::var_os("COPIES"), None);
        assert_ne!(
            std::env::current_dir().expect("it is there"),
            self.directory.path()
        );
        assert_eq!(umask(Mode::from_bits_truncate(0o27)).bits(), 0o22);
        assert_ne!(
            getrlimit(Resource::RLIMIT_CORE).expect("it can be asked").0,
            1
        );
        assert!(waitpid(None::<Pid>, None).is_err(), "there are no children");
        // SAFETY: asks.
        let handler = unsafe { libc::signal(libc::SIGUSR2, libc::SIG_IGN) };
        assert_eq!(handler, libc::SIG_DFL, "the handler of SIGUSR2");
        // SAFETY: asks.
        assert_eq!(unsafe { libc::alarm(1000) }, 0, "the alarm");
    }

    /// Changes it, beyond what the check has done.
    pub fn spoil(&mut self) {
        self.words.fill(43);
        self.words.resize(200_000, 44);
        self.pipe.1.write_all(b"more").expect("there is room");
        self.pair.0.write_all(b"more").expect("there is room");
        self.counter.write(1000).expect("it is far from full");
        self.set
            .delete(self.counter.as_fd())
            .expect("it is in the set");
        self.set
            .add(
                self.pair.0.as_fd(),
                EpollEvent::new(EpollFlags::EPOLLOUT, 2),
            )
            .expect("it can be added");
        self.file.seek(SeekFrom::Start(9)).expect("it is a file");
        self.pair.0.set_nonblocking(true).expect("it is a socket");
        // SAFETY: no other thread of this program reads the environment.
        unsafe { std::env::set_var("COPIES", "spoilt") };
        std::env::set_current_dir(self.directory.path()).expect("it is there");
        let (_, most) = getrlimit(Resource::RLIMIT_CORE).expect("it can be asked");
        setrlimit(Resource::RLIMIT_CORE, 1.min(most), most).expect("it can be set");
        let child = Command::new("sleep")
            .arg("1000")
            .stdin(Stdio::null())
            .spawn();
        // Nobody waits for it in the copy.
        std::mem::forget(child.expect("there is room"));
        thread::spawn(|| thread::sleep(Duration::from_secs(1000)));
        // SAFETY: the descriptor is not used again.
        unsafe { libc::close(self.pipe.1.as_raw_fd()) };
    }
}
