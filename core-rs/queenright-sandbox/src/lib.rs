//! Linux isolation: the only crate of the workspace that may use unsafe.
