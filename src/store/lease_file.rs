//! Lease files: locks where `flock` fails or excludes processes of one machine only.
//!
//! A lease names its holder, who renews its time stamp. A hard link creates it, for one process of
//! all machines. It is taken over if its holder is a dead process of this machine, or if the clock of the
//! file system says that it was not renewed for long: clocks of machines differ.

use std::{
    fs::{self, File, Permissions},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{CWD, RenameFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT},
    io::Errno,
    process::Pid,
};
use serde::{Deserialize, Serialize};
use tempfile::{NamedTempFile, TempPath};

use super::{
    checksum::{sign, signed},
    durable::ASIDE,
};

/// Time between two renewals.
const RENEWAL: Duration = Duration::from_secs(10);
/// Time without a renewal after which a holder on another machine is taken for dead.
pub(super) const STALE: Duration = Duration::from_secs(120);
/// Shortest and longest time between two looks at a lease that is waited for.
const PAUSES: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(500)];
/// Pause from which a wait is worth a word.
const LONG: Duration = Duration::from_millis(20);
/// Ending of the names of leases.
const ENDING: &str = ".lease";
/// Ending after that of a lease: the right to take it over.
const TAKEOVER: &str = ".takeover";

/// A held lease, released when dropped.
#[derive(Debug)]
pub struct LeaseFile {
    path: PathBuf,
    text: String,
    /// The thread that renews leases has it too.
    _file: Arc<File>,
}

/// Result of an attempt to take a lease.
#[derive(Debug)]
pub(super) enum Taking {
    /// It is held now.
    Taken(LeaseFile),
    /// Another process holds it.
    Held(String),
}

/// What is known of a lease.
#[derive(Debug, PartialEq, Eq)]
enum Holding {
    Free,
    /// Its holder, in words.
    Live(String),
    /// Its text.
    Dead(Vec<u8>),
}

/// The holder of a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    process: u32,
    host: String,
    /// Identifier of the boot of its machine.
    boot: String,
    /// Processes of other namespaces have other numbers.
    namespace: String,
    /// Begin of the process in ticks since the boot: numbers of processes are used again.
    began: u64,
    /// Number of the lease among those of its process.
    count: u64,
}

impl LeaseFile {
    /// Waits for the lease at a path; `waiting` is called once with its holder.
    pub(super) fn take(path: &Path, waiting: impl FnOnce(&str)) -> io::Result<Self> {
        let (mut waiting, mut pause) = (Some(waiting), PAUSES[0]);
        loop {
            match Self::try_take(path)? {
                Taking::Taken(lease) => return Ok(lease),
                Taking::Held(holder) => {
                    if pause >= LONG
                        && let Some(waiting) = waiting.take()
                    {
                        waiting(&holder);
                    }
                    thread::sleep(pause);
                    pause = (pause * 3 / 2).min(PAUSES[1]);
                }
            }
        }
    }

    /// The lease at a path, unless another process holds it.
    pub(super) fn try_take(path: &Path) -> io::Result<Taking> {
        loop {
            match look(path)? {
                Holding::Live(holder) => return Ok(Taking::Held(holder)),
                Holding::Free => {
                    if let Some(lease) = Self::create(path)? {
                        return Ok(Taking::Taken(lease));
                    }
                }
                Holding::Dead(text) => {
                    // A lease too, so that the death of whoever takes over is survived.
                    let right = match Self::try_take(&with_ending(path, TAKEOVER))? {
                        Taking::Taken(right) => right,
                        held @ Taking::Held(_) => return Ok(held),
                    };
                    // Another process may have taken it over before this one got the right.
                    if look(path)? == Holding::Dead(text)
                        && let Some(lease) = Self::replace(path)?
                    {
                        drop(right);
                        return Ok(Taking::Taken(lease));
                    }
                }
            }
        }
    }

    /// Creates a lease; none if there is one by now.
    fn create(path: &Path) -> io::Result<Option<Self>> {
        let (file, new, text) = write_beside(path)?;
        let placed = match fs::hard_link(&new, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
            // Windows shares and some file systems in user space have no hard links.
            Err(_) => rustix::fs::renameat_with(CWD, &*new, CWD, path, RenameFlags::NOREPLACE)
                .map_err(io::Error::from),
            linked => linked,
        };
        match placed {
            Ok(()) => Self::begin(path, text, file).map(Some),
            // A network may lose the answer to a request that was carried out.
            Err(_) if is_at(path, &text) => Self::begin(path, text, file).map(Some),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces the lease of a dead holder; none if another process was first after all.
    fn replace(path: &Path) -> io::Result<Option<Self>> {
        let (file, new, text) = write_beside(path)?;
        new.persist(path).map_err(|error| error.error)?;
        let is_ours = is_at(path, &text);
        is_ours.then(|| Self::begin(path, text, file)).transpose()
    }

    fn begin(path: &Path, text: String, file: File) -> io::Result<Self> {
        let file = Arc::new(file);
        renew(&file)?;
        Ok(Self { path: path.to_owned(), text, _file: file })
    }

    /// Whether the lease is still held: a machine that stood still for long may have lost it.
    pub(super) fn is_held(&self) -> bool {
        is_at(&self.path, &self.text)
    }
}

impl Drop for LeaseFile {
    fn drop(&mut self) {
        if self.is_held()
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!("cannot release the lease {}: {error}", self.path.display());
        }
    }
}

impl Holder {
    fn this() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let process = std::process::id();
        Self {
            process,
            host: kernel("hostname"),
            boot: kernel("random/boot_id"),
            namespace: namespace(),
            began: began(process).map_or(0, |(began, _)| began),
            count: COUNT.fetch_add(1, Ordering::Relaxed),
        }
    }

    fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_str(signed(std::str::from_utf8(text).ok()?)?).ok()
    }

    /// Whether a process of this machine lives; none for those of others.
    fn lives(&self) -> Option<bool> {
        let is_here = !self.boot.is_empty()
            && self.boot == kernel("random/boot_id")
            && self.namespace == namespace();
        if !is_here {
            return None;
        }
        let process = Pid::from_raw(i32::try_from(self.process).ok()?)?;
        if rustix::process::test_kill_process(process) == Err(Errno::SRCH) {
            return Some(false);
        }
        // Hidden processes of other users are taken for alive.
        Some(began(self.process).is_none_or(|(began, ended)| began == self.began && !ended))
    }
}

/// The path of the lease of a file.
pub(super) fn lease_of(path: &Path) -> PathBuf {
    with_ending(path, ENDING)
}

/// The name of the file that a lease, or the right to take one over, belongs to.
pub(super) fn leased(name: &str) -> Option<&str> {
    let mut name = name;
    while let Some(lease) = name.strip_suffix(TAKEOVER) {
        name = lease;
    }
    name.strip_suffix(ENDING)
}

/// Whether a live process holds the lease at a path; none if there is no lease.
pub(super) fn is_held(path: &Path) -> io::Result<Option<bool>> {
    look(path).map(|holding| match holding {
        Holding::Free => None,
        Holding::Live(_) => Some(true),
        Holding::Dead(_) => Some(false),
    })
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn look(path: &Path) -> io::Result<Holding> {
    let mut text = Vec::new();
    // Opened each time: a network file system renews what it knows of a file then.
    let opened = File::open(path).and_then(|mut file| file.read_to_end(&mut text).map(|_| file));
    let file = match opened {
        Err(error) if is_gone(&error) => return Ok(Holding::Free),
        opened => opened?,
    };
    let holder = Holder::parse(&text);
    let lives = match holder.as_ref().and_then(Holder::lives) {
        Some(lives) => lives,
        None => !is_stale(path, &file),
    };
    let words = holder.map_or_else(
        || "another process".to_owned(),
        |holder| format!("process {} on {}", holder.process, holder.host),
    );
    Ok(if lives { Holding::Live(words) } else { Holding::Dead(text) })
}

fn is_gone(error: &io::Error) -> bool {
    // Removed on another machine while it was open here.
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(Errno::STALE.raw_os_error())
}

/// Whether a lease was not renewed for long; without a clock nobody knows.
fn is_stale(path: &Path, file: &File) -> bool {
    let (renewed, now) = (file.metadata().and_then(|found| found.modified()), clock(path));
    let (Ok(renewed), Ok(now)) = (renewed, now) else { return false };
    now.duration_since(renewed).is_ok_and(|age| age > STALE)
}

/// The time of the file system that a path is on.
fn clock(path: &Path) -> io::Result<SystemTime> {
    let file = new_beside(path)?;
    touch(file.as_file())?;
    file.as_file().metadata()?.modified()
}

/// Sets a file's time stamp to the time of its file system, not of this machine.
fn touch(file: &File) -> io::Result<()> {
    let times = [UTIME_OMIT, UTIME_NOW].map(|now| Timespec { tv_sec: 0, tv_nsec: now as _ });
    let [last_access, last_modification] = times;
    Ok(rustix::fs::futimens(file, &Timestamps { last_access, last_modification })?)
}

fn new_beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = path.parent().expect("leases lie in a folder");
    // All users of the store read who holds it.
    let permissions = Permissions::from_mode(0o644);
    tempfile::Builder::new().prefix(ASIDE).permissions(permissions).tempfile_in(folder)
}

/// Writes a lease of this process beside its path, so that it is whole when it gets its name.
fn write_beside(path: &Path) -> io::Result<(File, TempPath, String)> {
    let holder = serde_json::to_string(&Holder::this()).expect("plain data can be written");
    let (mut file, new) = new_beside(path)?.into_parts();
    let text = sign(&holder);
    file.write_all(text.as_bytes())?;
    Ok((file, new, text))
}

fn is_at(path: &Path, text: &str) -> bool {
    fs::read(path).is_ok_and(|found| found == text.as_bytes())
}

/// Renews a lease until it is dropped.
fn renew(lease: &Arc<File>) -> io::Result<()> {
    static HELD: Mutex<Vec<Weak<File>>> = Mutex::new(Vec::new());
    static IS_RENEWED: Mutex<bool> = Mutex::new(false);
    HELD.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(lease));
    let mut is_renewed = IS_RENEWED.lock().unwrap_or_else(PoisonError::into_inner);
    if *is_renewed {
        return Ok(());
    }
    let renew_all = || {
        loop {
            thread::sleep(RENEWAL);
            let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
            held.retain(|lease| lease.strong_count() > 0);
            let leases: Vec<Arc<File>> = held.iter().filter_map(Weak::upgrade).collect();
            drop(held);
            for lease in leases {
                if let Err(error) = touch(&lease) {
                    tracing::debug!("a lease is not renewed: {error}");
                }
            }
        }
    };
    thread::Builder::new().name("leases".to_owned()).spawn(renew_all)?;
    *is_renewed = true;
    Ok(())
}

/// A value of the kernel.
fn kernel(name: &str) -> String {
    let text = fs::read_to_string(Path::new("/proc/sys/kernel").join(name));
    text.unwrap_or_default().trim().to_owned()
}

fn namespace() -> String {
    let link = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    link.to_string_lossy().into_owned()
}

/// When a process began, in ticks since the boot, and whether it has ended but is not waited for.
fn began(process: u32) -> Option<(u64, bool)> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // Its name may contain anything (proc(5): field 2).
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    Some((fields.nth(18)?.parse().ok()?, matches!(state, "Z" | "X")))
}

#[cfg(test)]
mod tests {
    use std::{process::Command, sync::Barrier, time::Instant};

    use super::*;

    /// A lease of a process of another machine.
    fn foreign() -> Holder {
        Holder { boot: "another".to_owned(), host: "elsewhere".to_owned(), ..Holder::this() }
    }

    fn write(path: &Path, holder: &Holder) {
        fs::write(path, sign(&serde_json::to_string(holder).unwrap())).unwrap();
    }

    /// Sets the last renewal, as seen by this file system.
    fn date(path: &Path, age: Duration) {
        let file = File::options().append(true).open(path).unwrap();
        file.set_modified(clock(path).unwrap() - age).unwrap();
    }

    #[track_caller]
    fn taken(path: &Path) -> LeaseFile {
        match LeaseFile::try_take(path).unwrap() {
            Taking::Taken(lease) => lease,
            Taking::Held(holder) => panic!("{holder} holds it"),
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_lease_is_held_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = lease_of(&folder.path().join("key"));
        let lease = taken(&path);
        assert!(lease.is_held());
        let Taking::Held(holder) = LeaseFile::try_take(&path).unwrap() else { panic!() };
        assert!(holder.starts_with(&format!("process {} on ", std::process::id())), "{holder}");
        assert_eq!(names(folder.path()), ["key.lease"]);
        drop(lease);
        assert!(names(folder.path()).is_empty());
        drop(taken(&path));
    }

    #[test]
    fn a_dead_process_of_this_machine_holds_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.lease");
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let (process, this) = (child.id(), Holder::this());
        let began_then = began(process).unwrap().0;
        write(&path, &Holder { process, began: began_then, ..this.clone() });
        assert!(matches!(LeaseFile::try_take(&path).unwrap(), Taking::Held(_)));
        child.kill().unwrap();
        // Killed, but nobody has waited for it.
        let end = Instant::now() + Duration::from_secs(10);
        while !began(process).unwrap().1 {
            assert!(Instant::now() < end);
        }
        drop(taken(&path));
        child.wait().unwrap();
        write(&path, &Holder { process, began: began_then, ..this.clone() });
        drop(taken(&path));
        // Another process got its number.
        write(&path, &Holder { began: this.began + 1, ..this });
        drop(taken(&path));
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_live_holder_elsewhere_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.lease");
        write(&path, &foreign());
        date(&path, STALE / 2);
        let release = Duration::from_millis(300);
        let (began, mut said) = (Instant::now(), String::new());
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(release);
                fs::remove_file(&path).unwrap();
            });
            drop(LeaseFile::take(&path, |holder| said = holder.to_owned()).unwrap());
        });
        assert!(began.elapsed() >= release);
        assert!(said.ends_with("on elsewhere"), "{said}");
    }

    #[test]
    fn one_of_ten_takes_over_what_is_stale() {
        for round in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("key.lease");
            write(&path, &foreign());
            date(&path, STALE * 2);
            if round % 2 == 1 {
                // Whoever took it over before was killed.
                let right = with_ending(&path, TAKEOVER);
                write(&right, &foreign());
                date(&right, STALE * 2);
            }
            let barrier = Barrier::new(10);
            let takings: Vec<Taking> = thread::scope(|scope| {
                let takers = (0..10).map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        LeaseFile::try_take(&path).unwrap()
                    })
                });
                let takers: Vec<_> = takers.collect();
                takers.into_iter().map(|taker| taker.join().unwrap()).collect()
            });
            let is_taken = |taking: &&Taking| matches!(taking, Taking::Taken(_));
            assert_eq!(takings.iter().filter(is_taken).count(), 1, "round {round}");
            drop(takings);
            assert!(names(folder.path()).is_empty(), "{:?}", names(folder.path()));
        }
    }

    #[test]
    fn ten_that_wait_hold_it_one_after_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.lease");
        let inside = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        let _lease = LeaseFile::take(&path, |_| ()).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        thread::sleep(Duration::from_millis(1));
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_lease_that_was_taken_over_is_lost_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.lease");
        let lease = taken(&path);
        fs::remove_file(&path).unwrap();
        write(&path, &foreign());
        assert!(!lease.is_held());
        drop(lease);
        assert_eq!(names(folder.path()), ["key.lease"]);
        // A torn one is judged by its time alone.
        fs::write(&path, "torn").unwrap();
        assert_eq!(is_held(&path).unwrap(), Some(true));
        date(&path, STALE * 2);
        assert_eq!(is_held(&path).unwrap(), Some(false));
        assert_eq!(
            [leased("a.lease"), leased("a.lease.takeover"), leased("a")],
            [Some("a"), Some("a"), None]
        );
    }

    #[test]
    fn a_renewal_sets_the_time_of_the_file_system() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.lease");
        let lease = taken(&path);
        date(&path, STALE * 2);
        touch(&lease._file).unwrap();
        let age =
            clock(&path).unwrap().duration_since(path.metadata().unwrap().modified().unwrap());
        assert!(age.unwrap_or_default() < Duration::from_secs(10));
    }
}
