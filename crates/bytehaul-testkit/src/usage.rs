//! CPU time and peak memory of processes, as the kernel counted them.

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::Pid;

/// What a process used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// User and system time.
    pub cpu: Duration,
    /// Largest resident set, in bytes.
    pub peak_rss: u64,
}

impl Usage {
    /// What this process used up to now.
    #[must_use]
    pub fn own() -> Self {
        let mut usage = MaybeUninit::zeroed();
        #[expect(unsafe_code, reason = "getrusage has no safe wrapper here")]
        // SAFETY: the pointer is to a live `rusage`, for which all zeros is a valid value, and the call only writes it.
        let usage: libc::rusage = unsafe {
            libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
            usage.assume_init()
        };
        Self::from(&usage)
    }
}

impl From<&libc::rusage> for Usage {
    fn from(usage: &libc::rusage) -> Self {
        let peak = u64::try_from(usage.ru_maxrss).unwrap_or(0);
        Self {
            cpu: duration(usage.ru_utime) + duration(usage.ru_stime),
            peak_rss: peak * RSS_UNIT,
        }
    }
}

/// Waits for a child that has ended, and takes its status and usage.
pub(crate) fn reap(pid: Pid) -> io::Result<(ExitStatus, Usage)> {
    let mut status = 0;
    let mut usage = MaybeUninit::zeroed();
    #[expect(unsafe_code, reason = "wait4 has no safe wrapper")]
    // SAFETY: both pointers are to live values of the right type, and all zeros is a valid `rusage`.
    let (waited, usage): (_, libc::rusage) = unsafe {
        let waited = libc::wait4(
            pid.as_raw_nonzero().get(),
            &raw mut status,
            0,
            usage.as_mut_ptr(),
        );
        (waited, usage.assume_init())
    };
    if waited < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((ExitStatus::from_raw(status), Usage::from(&usage)))
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0))
}

/// Linux counts in KiB, macOS in bytes.
const RSS_UNIT: u64 = if cfg!(target_vendor = "apple") {
    1
} else {
    1024
};
