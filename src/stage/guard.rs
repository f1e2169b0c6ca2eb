//! A user's program under guard: a process of its own that ends whatever the program leaves running.
//!
//! A group of processes is easily left (`setsid`), and a program whose parents are both killed is nobody's. So the guard is
//! the one to whom the kernel hands everything below it that loses its parent, stands in no group that anybody signals, and
//! waits for the end of two things: of the program, and of the attempt that asked for it.

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

use rustix::process::{Pid, Signal, WaitOptions};

/// This very program, also where another one was put in its place meanwhile.
pub const THIS_PROGRAM: &str = "/proc/self/exe";

/// After its attempt is gone, a run that is being ended leaves the program so long, and a little more than it says itself.
const PATIENCE: Duration = Duration::from_secs(6);
/// A process that cannot be killed, since a device holds it, is given up after so long.
const STUBBORN: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(2);

/// Runs a program under guard and waits for its end and that of everything it started; `prepare` sets its surroundings.
///
/// # Errors
/// Where it cannot be started.
pub(super) fn status(
    program: &Path,
    arguments: &[String],
    prepare: impl FnOnce(&mut Command) -> io::Result<()>,
) -> io::Result<ExitStatus> {
    let (mut ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new(THIS_PROGRAM);
    prepare(&mut command)?;
    let parent = rustix::process::getppid().map_or(0, Pid::as_raw_pid);
    let group = rustix::process::getpgrp().as_raw_pid();
    command.arg0("stage-program").args(["attempt", "--guard", &group.to_string(), "--above", &parent.to_string()]);
    command.arg("--").arg(program).args(arguments).process_group(0).stdin(OwnedFd::from(theirs));
    let mut guard = command.spawn()?;
    // Only the guard holds its end now, so that reading ends with it.
    drop(command);
    let mut word = String::new();
    let said = ours.read_to_string(&mut word);
    let ended = guard.wait();
    said?;
    let number = |kind: &str| word.strip_prefix(kind)?.trim().parse::<i32>().ok();
    match (number("status "), number("error ")) {
        (Some(status), _) => Ok(ExitStatus::from_raw(status)),
        (_, Some(error)) => Err(io::Error::from_raw_os_error(error)),
        _ => Err(io::Error::other(format!("the process that guards it was ended ({})", ended?))),
    }
}

/// Whom a guard serves.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// The group of the attempt that waits for the program; the program joins it.
    pub group: i32,
    /// The process that waits for the attempt.
    pub above: i32,
}

/// The guard itself: runs the program, ends what it leaves, and says on its standard input, which is a socket, how it ended.
///
/// # Errors
/// Where it cannot stand guard.
pub fn stand(served: Served, program: &[OsString]) -> io::Result<()> {
    call_this_process("stage-program");
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let mut voice = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let listener = voice.try_clone()?;
    let attempt = rustix::process::getppid();
    thread::Builder::new().spawn(move || end_with(attempt, served, listener))?;
    let (name, arguments) = program.split_first().ok_or_else(|| io::Error::other("there is no program to guard"))?;
    let mut command = Command::new(name);
    command.args(arguments).process_group(served.group).stdin(Stdio::null());
    let word = match command.spawn() {
        Ok(child) => format!("status {}", wait_for(Pid::from_child(&child))?),
        Err(error) => format!("error {}", error.raw_os_error().unwrap_or(0)),
    };
    end_children(|_| false);
    voice.write_all(word.as_bytes())?;
    voice.shutdown(Shutdown::Both)
}

/// Gives this process a name for `ps` and `pkill`; after the file that it was started from it would be called `exe`.
pub fn call_this_process(name: &str) {
    if let Err(error) = fs::write("/proc/self/comm", name) {
        tracing::debug!("this process keeps its name: {error}");
    }
}

/// Waits for the end of one child and buries all others that end meanwhile.
fn wait_for(child: Pid) -> io::Result<i32> {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((ended, status))) if ended == child => return Ok(status.as_raw()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Ends everything once the attempt is gone: at once where nobody is above it any more, otherwise after what the run grants.
fn end_with(attempt: Option<Pid>, served: Served, mut listener: UnixStream) {
    let mut nothing = [0; 16];
    while listener.read(&mut nothing).is_ok_and(|count| count > 0) {}
    let began = Instant::now();
    let parent = rustix::process::getppid;
    while parent() == attempt && began.elapsed() < Duration::from_secs(1) {
        thread::sleep(PAUSE);
    }
    let is_in_charge = || parent().map(Pid::as_raw_pid) == Some(served.above);
    while is_in_charge() && began.elapsed() < PATIENCE {
        thread::sleep(PAUSE * 5);
    }
    end_children(|_| false);
    std::process::exit(1);
}

/// Kills all children of this process but those that are spared, and theirs, which become children as their parents die;
/// needs a process that orphans are handed to.
pub fn end_children(is_spared: impl Fn(Pid) -> bool) {
    let began = Instant::now();
    loop {
        let children: Vec<Pid> = children().into_iter().filter(|child| !is_spared(*child)).collect();
        if children.is_empty() || began.elapsed() > STUBBORN {
            return;
        }
        for child in children {
            // Whoever is gone already needs no signal.
            let _ = rustix::process::kill_process(child, Signal::KILL);
            bury(child);
        }
        thread::sleep(PAUSE);
    }
}

/// Takes note of the end of a child, so that its number is free again; says whether it has ended.
pub fn bury(child: Pid) -> bool {
    !matches!(rustix::process::waitpid(Some(child), WaitOptions::NOHANG), Ok(None))
}

/// The children of this process, those included that it was handed.
pub fn children() -> Vec<Pid> {
    let me = std::process::id().to_string();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_child = |number: &i32| {
        let stat = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        // A program's name may hold brackets and blanks; state and parent follow the last one.
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)) == Some(me.as_str())
    };
    numbers.filter(is_child).filter_map(Pid::from_raw).collect()
}
