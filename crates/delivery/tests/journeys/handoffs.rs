//! Handoffs from the spool.
