//! The table: every call, and how it must end.

use crate::act::{Act, Given};
use crate::calls::{
    children, file_locks, interrupted, ipc, locks, polls, raw, reads, signal_waits, sleeps,
};

/// One row of the table.
pub struct Row {
    pub name: &'static str,
    /// The result: an error's name, or `+` for any success.
    pub expected: &'static str,
    pub act: fn(&Given) -> Act,
}

const fn row(name: &'static str, expected: &'static str, act: fn(&Given) -> Act) -> Row {
    Row {
        name,
        expected,
        act,
    }
}

/// Every call, and how it must end.
pub const ROWS: &[Row] = &[
    row("read_pipe", "+", reads::read_pipe),
    row("read_pipe_all_blocked", "+", reads::read_pipe_all_blocked),
    row("read_socket", "+", reads::read_socket),
    row("recv", "+", reads::recv),
    row("recv_timeout", "EAGAIN", reads::recv_timeout),
    row("accept", "+", reads::accept),
    row("poll_2000", "+", polls::poll_2000),
    row("poll_endless", "+", polls::poll_endless),
    row("ppoll", "+", polls::ppoll),
    row("ppoll_mask", "+", polls::ppoll_mask),
    row("select", "+", polls::select),
    row("pselect", "+", polls::pselect),
    row("epoll_wait_2000", "+", polls::epoll_wait_2000),
    row("epoll_wait_endless", "+", polls::epoll_wait_endless),
    row("epoll_pwait", "+", polls::epoll_pwait),
    row("epoll_pwait2", "+", polls::epoll_pwait2),
    row("nanosleep", "+", sleeps::nanosleep),
    row("nanosleep_remainder", "+", sleeps::nanosleep_remainder),
    row("clock_nanosleep", "+", sleeps::clock_nanosleep),
    row(
        "clock_nanosleep_absolute",
        "+",
        sleeps::clock_nanosleep_absolute,
    ),
    row("usleep", "+", sleeps::usleep),
    row("sleep", "+", sleeps::sleep),
    row("sem_wait", "+", locks::sem_wait),
    row("sem_timedwait", "ETIMEDOUT", locks::sem_timedwait),
    row("cond_timedwait", "ETIMEDOUT", locks::cond_timedwait),
    row("mutex_lock", "+", locks::mutex_lock),
    row("futex_relative", "ETIMEDOUT", locks::futex_relative),
    row("futex_endless", "+", locks::futex_endless),
    row(
        "futex_bitset_absolute",
        "ETIMEDOUT",
        locks::futex_bitset_absolute,
    ),
    row("std_park_timeout", "+", locks::std_park_timeout),
    row("std_condvar", "ETIMEDOUT", locks::std_condvar),
    row("std_recv_timeout", "ETIMEDOUT", locks::std_recv_timeout),
    row("std_sleep", "+", sleeps::std_sleep),
    row("raw_poll", "+", raw::raw_poll),
    row("raw_epoll_pwait2", "+", raw::raw_epoll_pwait2),
    row("raw_futex", "ETIMEDOUT", raw::raw_futex),
    row("pause", "EINTR", signal_waits::pause),
    row("sigsuspend", "EINTR", signal_waits::sigsuspend),
    row("sigwaitinfo", "+", signal_waits::sigwaitinfo),
    row("sigtimedwait", "EAGAIN", signal_waits::sigtimedwait),
    row("waitpid", "+", children::waitpid),
    row("read_eventfd", "+", reads::read_eventfd),
    row("read_timerfd", "+", reads::read_timerfd),
    row("read_inotify", "+", reads::read_inotify),
    row("semop", "+", ipc::semop),
    row("semtimedop", "EAGAIN", ipc::semtimedop_row),
    row("msgrcv", "+", ipc::msgrcv),
    row("msgsnd", "+", ipc::msgsnd),
    row("flock", "+", file_locks::flock),
    row("fcntl_setlkw", "+", file_locks::fcntl_setlkw),
    row("mq_timedreceive", "ETIMEDOUT", ipc::mq_timedreceive),
    // Interruptions by the program's own handler without SA_RESTART.
    row("read_interrupted", "EINTR", interrupted::read_interrupted),
    row("poll_interrupted", "EINTR", interrupted::poll_interrupted),
    row(
        "nanosleep_interrupted",
        "EINTR",
        interrupted::nanosleep_interrupted,
    ),
    row("futex_interrupted", "EINTR", interrupted::futex_interrupted),
];
