//! Types shaped like those of `std::net`.
