//! What should be done, and whether policy allows it. Pure: no IO, no clock.
