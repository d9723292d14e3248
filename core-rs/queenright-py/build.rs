//! Checks the checkout, and puts the launcher's program where the wheel takes it from.
//!
//! A wheel built by maturin holds one compiled artifact; the launcher must be a second, real file (an AppArmor profile
//! matches a path). So it is built here by a nested cargo, with its own target directory, and copied into the package.
use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAM: &str = "queenright-launch";

fn main() -> Result<(), Box<dyn Error>> {
    // Read at run time: with env! a shared target directory gives another checkout's answer.
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?)
        .join("../..")
        .canonicalize()?;
    check_link(&root.join("pysrc/queenright_tui"))?;
    let packaged = root.join("pysrc/queenright/_bin").join(PROGRAM);
    for watched in ["core-rs/queenright-sandbox", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    println!("cargo::rerun-if-changed={}", packaged.display());
    let target = PathBuf::from(env::var("OUT_DIR")?).join("launcher");
    // Static: one program for every glibc, and nothing of the host is loaded before it has dropped its rights.
    // Where the C library has no static form, the ordinary one does the same work.
    let built = build(&root, &target, true).or_else(|why| {
        println!(
            "cargo::warning=no static launcher ({why}): linking it against the shared C library"
        );
        build(&root, &target, false)
    })?;
    install(&built, &packaged, &root.join("Cargo.lock"))
}

/// Git on a system without links leaves a small text file; a wheel built from it would silently lack the terminal.
fn check_link(link: &Path) -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={}", link.display());
    if link.is_dir() {
        return Ok(());
    }
    Err(format!(
        "{} is not a directory: this checkout has no symbolic links; hint: git config core.symlinks true && git checkout -- {0}",
        link.display()
    )
    .into())
}

fn build(root: &Path, target: &Path, fixed: bool) -> Result<PathBuf, Box<dyn Error>> {
    let triple = env::var("TARGET")?;
    let mut cargo = Command::new(env::var("CARGO")?);
    cargo
        .current_dir(root)
        .args([
            "build",
            "--release",
            "--locked",
            "--quiet",
            "--package",
            "queenright-sandbox",
            "--bin",
            PROGRAM,
        ])
        .args(["--config", "profile.release.strip=true"])
        // With a target named, the flags below hold for the program and not for build scripts and macros.
        .args(["--target", &triple])
        .arg("--target-dir")
        .arg(target);
    // What the outer cargo says about its own build (clippy's driver, coverage flags) is not meant for this one.
    for name in [
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTC_WORKSPACE_WRAPPER",
        "CLIPPY_ARGS",
        "CARGO_TARGET_DIR",
    ] {
        cargo.env_remove(name);
    }
    if fixed {
        cargo.env("RUSTFLAGS", "-C target-feature=+crt-static");
    }
    let output = cargo.output()?;
    if !output.status.success() {
        return Err(format!("cargo: {}", String::from_utf8_lossy(&output.stderr).trim()).into());
    }
    Ok(target.join(triple).join("release").join(PROGRAM))
}

/// Replaces the packaged program if it differs. Renamed into place: a running one cannot be written to.
fn install(built: &Path, packaged: &Path, old: &Path) -> Result<(), Box<dyn Error>> {
    let bytes = fs::read(built)?;
    if fs::read(packaged).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    let directory = packaged.parent().ok_or("no directory")?;
    fs::create_dir_all(directory)?;
    let beside = directory.join(format!(".{PROGRAM}.{}", std::process::id()));
    fs::copy(built, &beside)?;
    // cargo reruns this script when the file is newer than its last run, which it always would be.
    fs::File::options()
        .write(true)
        .open(&beside)?
        .set_modified(fs::metadata(old)?.modified()?)?;
    fs::rename(&beside, packaged)?;
    Ok(())
}
