//! The first process of a command's pid namespace: reaps what the command leaves behind and reports how it ended.
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use crate::step::{At, Refusal, Step};
use crate::sys;

/// Forks. Returns in the process that will run the command; the other one stays as pid 1 until that has ended, then
/// ends too, and with it every process of the namespace.
pub fn split(report: OwnedFd) -> Result<(), Refusal> {
    match sys::fork().at(Step::Fork, String::new)? {
        0 => Ok(()),
        command => watch(command, &report),
    }
}

fn watch(command: libc::pid_t, report: &OwnedFd) -> ! {
    // Its memory is the launcher's; same-uid code in the namespace must not look into it or write to it.
    let hidden = sys::prctl(libc::PR_SET_DUMPABLE, 0).is_ok();
    // Holding the command's pipes open would hide their end from the supervisor.
    let kept = report.as_raw_fd();
    let closed = close_all_but(kept).is_ok();
    if !(hidden && closed) {
        sys::exit_now(crate::child::REFUSED);
    }
    loop {
        match sys::waitpid(-1) {
            Ok((pid, raw)) if pid == command => {
                // Nobody reads it if the launcher is gone; then we are being killed anyway.
                let _ = sys::write(report.as_fd(), &raw.to_le_bytes());
                sys::exit_now(0);
            }
            Ok(_) => {}
            Err(_) => sys::exit_now(crate::child::REFUSED),
        }
    }
}

fn close_all_but(kept: RawFd) -> std::io::Result<()> {
    if kept > 0 {
        sys::close_range(0, kept - 1)?;
    }
    sys::close_range(kept + 1, RawFd::MAX)
}

/// What the report pipe said, or None if the first process was killed before it could tell.
pub fn read_report(report: BorrowedFd<'_>) -> Option<sys::End> {
    let mut raw = [0; 4];
    match sys::poll(report, libc::POLLIN, 0) {
        Ok(events) if events & libc::POLLIN != 0 => {}
        _ => return None,
    }
    match sys::read(report, &mut raw) {
        Ok(4) => Some(sys::end_of(i32::from_le_bytes(raw))),
        _ => None,
    }
}
