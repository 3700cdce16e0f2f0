//! The fuzz target `upload_plan`; what it checks is said where it is defined.

#![cfg_attr(fuzzing, no_main)]

bytehaul_fuzz::target!(upload_plan);
