//! Pure state machines of queenright: no I/O, no clock, no threads.
