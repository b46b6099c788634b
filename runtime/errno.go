package runtime

// errno is an error number of WASI preview 1 (witx typenames, $errno).
type errno uint32

// The numbers this host returns.
const (
	errnoSuccess     errno = 0
	errnoBadf        errno = 8
	errnoFault       errno = 21
	errnoInval       errno = 28
	errnoIsdir       errno = 31
	errnoMfile       errno = 33
	errnoNametoolong errno = 37
	errnoNoent       errno = 44
	errnoNosys       errno = 52
	errnoNotdir      errno = 54
	errnoNotsock     errno = 57
	errnoNotsup      errno = 58
	errnoOverflow    errno = 61
	errnoPerm        errno = 63
	errnoRofs        errno = 69
	errnoSpipe       errno = 70
)
