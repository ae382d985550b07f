//! Placeholder-free root; modules are declared as they are written.
