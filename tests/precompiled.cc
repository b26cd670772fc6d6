// Holds the headers of precompiled.h; has no code of its own.
