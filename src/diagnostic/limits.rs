//! Hints for errors that come from limits of the operating system.

use std::io;

use rustix::io::Errno;

/// A hint to append to an error that a reached limit caused; empty for other errors.
pub fn limit(error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::MFILE) => "; this is the limit on open files: raise it with `ulimit -n`",
        Some(Errno::NFILE) => "; this is the machine's limit on open files, `fs.file-max`",
        Some(Errno::AGAIN) => {
            "; this is the limit on processes and threads: raise it with `ulimit -u` (in a \
            container, `pids.max`), or run \
             fewer stages at once with `-j`"
        }
        Some(Errno::NOMEM) => {
            "; the machine has no memory left: run fewer stages at once with `-j`"
        }
        _ => "",
    }
}
