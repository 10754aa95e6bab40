//! What both drivers know of a connection besides its socket's state.
