//! Round trips and hostile octets.
