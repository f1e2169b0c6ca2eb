//! A guard process that supervises a user program and ends its orphans.
//!
//! Process groups are easily left (`setsid`), and a program whose parents are killed is
//! unsupervised. The guard is a subreaper outside of the signalled groups, and waits for the end of
//! the program and of the attempt that requested it.

use std::{
    ffi::OsString,
    fs,
    io::{self, Read, Write},
    net::Shutdown,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            net::UnixStream,
            process::{CommandExt, ExitStatusExt},
        },
    },
    path::Path,
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions},
};

/// This executable, even if the file at its path was replaced.
pub const THIS_PROGRAM: &str = "/proc/self/exe";

/// Grace period of the program after the end of its attempt, slightly longer than that of the run.
const PATIENCE: Duration = Duration::from_secs(6);
/// Time after which an unkillable process (held by a device) is given up.
const STUBBORN: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(2);

/// Runs a program under guard and waits for it and its descendants; `prepare` sets up its
/// environment.
///
/// # Errors
/// If it cannot be started.
pub fn status(
    program: &Path,
    arguments: &[String],
    prepare: impl FnOnce(&mut Command) -> io::Result<()>,
) -> io::Result<ExitStatus> {
    let (mut ours, theirs) = UnixStream::pair()?;
    // A process rather than a thread: the program needs a subreaper that outlives this attempt.
    let mut command = Command::new(THIS_PROGRAM);
    prepare(&mut command)?;
    let parent = rustix::process::getppid().map_or(0, Pid::as_raw_pid);
    let group = rustix::process::getpgrp().as_raw_pid();
    command.arg0("stage-program").args([
        "attempt",
        "--guard",
        &group.to_string(),
        "--above",
        &parent.to_string(),
    ]);
    command.arg("--").arg(program).args(arguments).process_group(0).stdin(OwnedFd::from(theirs));
    let mut guard = command.spawn()?;
    // The guard now holds the only other end, so that reading ends with it.
    drop(command);
    let mut word = String::new();
    let said = ours.read_to_string(&mut word);
    // Waited for even if reading failed, so that no zombie is left.
    let ended = guard.wait();
    said?;
    match word.split_once(' ').map(|(kind, number)| (kind, number.trim().parse::<i32>())) {
        Some(("status", Ok(status))) => Ok(ExitStatus::from_raw(status)),
        Some(("error", Ok(error))) => Err(io::Error::from_raw_os_error(error)),
        _ => Err(io::Error::other(format!("its guard process was ended ({})", ended?))),
    }
}

/// Owner of a guard.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// Process group of the attempt, which the program joins.
    pub group: i32,
    /// Parent process of the attempt.
    pub above: i32,
}

/// The guard process: runs the program, ends its orphans, and writes its status to stdin, which is
/// a socket.
///
/// # Errors
/// If it cannot become a subreaper.
pub fn stand(served: Served, program: &[OsString]) -> io::Result<()> {
    call_this_process("stage-program");
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let listener = socket.try_clone()?;
    let attempt = rustix::process::getppid();
    thread::Builder::new().spawn(move || end_with(attempt, served, listener))?;
    let (name, arguments) =
        program.split_first().ok_or_else(|| io::Error::other("there is no program to guard"))?;
    let mut command = Command::new(name);
    command.args(arguments).process_group(served.group).stdin(Stdio::null());
    let word = match command.spawn() {
        Ok(child) => format!("status {}", wait_for(Pid::from_child(&child))?),
        // As a number, from which the attempt makes the same error again.
        Err(error) => format!("error {}", error.raw_os_error().unwrap_or(0)),
    };
    end_children(|_| false);
    socket.write_all(word.as_bytes())?;
    // Not left to the drop: the listener's copy would keep the connection open.
    socket.shutdown(Shutdown::Both)
}

/// Sets the process name for `ps` and `pkill`, which would be `exe` otherwise.
pub fn call_this_process(name: &str) {
    if let Err(error) = fs::write("/proc/self/comm", name) {
        tracing::debug!("this process keeps its name: {error}");
    }
}

/// Waits for one child and reaps all others that end meanwhile.
fn wait_for(child: Pid) -> io::Result<i32> {
    // Not `Child::wait`, which would leave adopted orphans as zombies until the program ends.
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((ended, status))) if ended == child => return Ok(status.as_raw()),
            Ok(_) | Err(Errno::INTR) => {}
            // `end_with` has ended it, and ends this process.
            Err(Errno::CHILD) => thread::park(),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Ends everything after the attempt: at once if its parent is gone too, otherwise after the grace
/// period.
fn end_with(attempt: Option<Pid>, served: Served, mut listener: UnixStream) {
    let mut nothing = [0; 16];
    while listener.read(&mut nothing).is_ok_and(|count| count > 0) {}
    let began = Instant::now();
    let parent = rustix::process::getppid;
    // The socket closes a moment before the attempt is gone and this process has another parent.
    while parent() == attempt && began.elapsed() < Duration::from_secs(1) {
        thread::sleep(PAUSE);
    }
    // While the run lives, it ends the program with its own signals and grace period.
    while parent().map(Pid::as_raw_pid) == Some(served.above) && began.elapsed() < PATIENCE {
        thread::sleep(PAUSE * 5);
    }
    end_children(|_| false);
    std::process::exit(1);
}

/// Kills all children of this process except the spared ones, and their descendants as they are
/// reparented; needs a subreaper.
pub fn end_children(is_spared: impl Fn(Pid) -> bool) {
    let began = Instant::now();
    // Again and again: whoever is killed leaves its children to this process.
    loop {
        let children: Vec<Pid> =
            children().into_iter().filter(|child| !is_spared(*child)).collect();
        if children.is_empty() || began.elapsed() > STUBBORN {
            return;
        }
        for child in children {
            // A process may have ended already.
            let _ = rustix::process::kill_process(child, Signal::KILL);
            reap(child);
        }
        thread::sleep(PAUSE);
    }
}

/// Reaps a child; returns whether it has ended.
pub fn reap(child: Pid) -> bool {
    !matches!(rustix::process::waitpid(Some(child), WaitOptions::NOHANG), Ok(None))
}

/// Children of this process, including adopted ones.
pub fn children() -> Vec<Pid> {
    // Most often there is none, and reading of all processes takes milliseconds.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    if rustix::process::waitid(WaitId::All, options).is_err_and(|error| error == Errno::CHILD) {
        return Vec::new();
    }
    let me = std::process::id().to_string();
    // Not /proc/self/task/*/children, which may miss some while others end (proc(5)).
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let own = numbers.filter(|number| parent_of(*number).as_deref() == Some(me.as_str()));
    own.filter_map(Pid::from_raw).collect()
}

/// The parent of a process, as /proc writes it; none if the process has ended.
fn parent_of(process: i32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // Program names may contain brackets and spaces; state and parent follow the last bracket.
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(1).map(str::to_owned)
}
