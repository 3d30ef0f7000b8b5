# The part of _core.pyx that is about what CPython tells or does for us: forks, the exit, calls.

cdef int run_pending(void* argument) except -1 with gil:
    cdef object function = <object>argument
    Py_DECREF(function)
    insist(function)  # what it raises is raised in the main thread
    return 0


cdef object persist(function):
    """Call `function`, again until it returns; return what it raised last, or None."""
    error = None
    for _ in range(1000):  # who raises each time does so for a reason of its own
        try:
            function()
            break
        except BaseException as raised:
            error = raised
    return error


def insist(function) -> None:
    """Call `function`, again until it returns, and raise at the end what it raised last.

    For what must be done whole at an exit or a fork: the program's signal handlers may raise
    anywhere in Python code, but not in here. `function` must be such that it can be called again
    wherever it was left.
    """
    error = persist(function)
    if error is not None:
        raise error


def at_fork(lifecycle, int change, function) -> None:
    """Count a fork that begins or is over, and `insist` on what follows from that.

    When one is over, what follows is done under the lock: nobody sees the one without the other.
    """
    lock = lifecycle.lock
    errors = [persist(lock.acquire)]
    lifecycle.forks = max(lifecycle.forks + change, 0)
    if change > 0:
        lock.release()
        errors.append(persist(function))
    else:
        errors.append(persist(function))
        lock.release()
    for error in errors:
        if error is not None:
            raise error


# Registered by the import, not by the first start: what a program registers after it imports us is
# called before, and still finds running what runs.
cdef object the_lifecycle = None
cdef bint exit_began = False

# Threads of ours that have not had the GIL yet: a lock of each that is held until then, and the
# generation of forks that it is of. One that asks for its first time when the interpreter has gone
# would run Python code on what was freed: CPython holds up only who comes while it goes. Read and
# written with the GIL.
cdef object beginning = {}  # no `dict`: Cython would call private functions of CPython for it
cdef bint own_threads_refused = False


def tell_lifecycle(lifecycle) -> None:
    """Tell `lifecycle` of forks and of the exit from now on; at once of an exit that has begun."""
    global the_lifecycle
    the_lifecycle = lifecycle
    if exit_began:
        insist(lifecycle.at_exit)


def _at_exit() -> None:
    global exit_began
    exit_began = True
    if the_lifecycle is not None:
        insist(the_lifecycle.at_exit)
    insist(_own_threads_have_begun)


def _own_threads_have_begun() -> None:
    """Let no thread of ours begin any more, and wait for those that are about to."""
    global own_threads_refused
    own_threads_refused = True
    for begun, generation in list(beginning.items()):
        if generation == fork_generation():  # else it is not in this process
            begun.acquire()  # not `with`: that looks up methods by a private function of CPython's


def _before_fork() -> None:
    if the_lifecycle is not None:
        at_fork(the_lifecycle, 1, the_lifecycle.before_fork)


def _after_fork_in_parent() -> None:
    if the_lifecycle is not None:
        at_fork(the_lifecycle, -1, the_lifecycle.after_fork_in_parent)


def _after_fork_in_child() -> None:
    if the_lifecycle is not None:
        insist(the_lifecycle.after_fork_in_child)


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):  # Windows has no forks
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )


def call_soon(function) -> None:
    """Call `function` from the main thread, which calls, as soon as that runs Python code again."""
    Py_INCREF(function)
    if Py_AddPendingCall(run_pending, <void*><PyObject*>function) != 0:
        Py_DECREF(function)
        function()  # the queue is full: better now than never


cdef void call_as_ours(object function) noexcept:
    begun, work = function
    try:
        beginning.pop(begun, None)
        begun.release()
        CPythonGil.instance().begin_own()
        try:
            work()
        finally:
            CPythonGil.instance().end_own()
    finally:
        Py_DECREF(function)


cdef void* run_as_ours(void* function) noexcept nogil:
    set_name("gilknock-python")
    mark_ours()  # before it asks for the GIL: nothing of it is counted as the program's
    with gil:
        call_as_ours(<object>function)
    return NULL


cdef class OwnThread:
    """A thread that calls `function`, and is one of the meter's: not counted with the program's.

    It is no thread of :mod:`threading`'s, and takes none of the program's signals. Its stack is kept
    until it was joined, or has ended and was dropped.
    """

    cdef object _function
    cdef Thread _thread
    cdef bint _unjoined
    cdef long _generation

    def __init__(self, function) -> None:
        self._function = function

    def start(self) -> None:
        """Start it, once.

        Raises
        ------
        RuntimeError
            If the exit handlers have run, or there is no thread to be had.
        """
        if own_threads_refused:
            raise RuntimeError("the interpreter is exiting: no thread can be started any more")
        begun = allocate_lock()
        begun.acquire()
        # The thread alone has it from now on: else what it belongs to would keep itself alive.
        function, self._function = (begun, self._function), None
        Py_INCREF(function)
        self._generation = fork_generation()
        beginning[begun] = self._generation
        try:
            self._thread.start(&run_as_ours, <void*><PyObject*>function)
        except BaseException:
            beginning.pop(begun, None)
            Py_DECREF(function)
            raise
        self._unjoined = True

    def join(self) -> None:
        """Wait until the system has it no more, once, when `function` has returned or is about to.

        It asks for the GIL once more after that. Python warns of a fork while it is there.
        """
        self._unjoined = False
        with nogil:
            self._thread.join()

    def __dealloc__(self) -> None:
        # Perhaps by that thread itself. In a forked child there is none.
        if self._unjoined and self._generation == fork_generation():
            self._thread.detach()
