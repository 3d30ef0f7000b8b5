# The part of _core.pyx that is about stacks.

def stack_problem() -> str | None:
    """Why stacks cannot be read here, or None where they can: proven by the caller's own stack."""
    cdef const char* reason = stacks_problem()
    return None if reason == NULL else reason.decode()


def stack_difference() -> str:
    """What of the caller's stack reads otherwise than Python tells it; "" if nothing does."""
    if stacks_problem() != NULL:
        raise RuntimeError(stack_problem())
    return stacks_difference().decode("utf-8", "replace")


cdef tuple frame_of(const Frame& frame):
    return (
        frame.function.decode("utf-8", "replace"),
        frame.file.decode("utf-8", "replace"),
        frame.line,
    )


def frame_name(code, int instruction) -> tuple[str, str, int] | None:
    """Name the frame that is `instruction` bytes into a code object, from its memory alone."""
    if stacks_problem() != NULL:
        raise RuntimeError(stack_problem())
    cdef unique_ptr[ProcessMemory] memory = make_unique[ProcessMemory](process_id())
    cdef unique_ptr[CodeReader] reader = make_unique[CodeReader](
        memory.get()[0], stacks_offsets())
    cdef RawFrame frame
    cdef FrameName name
    cdef CodeIdentity identity
    frame.code = <size_t><PyObject*>code
    frame.instruction = instruction
    if not reader.get().name(frame, &name, &identity):
        return None
    return (
        name.function.bytes.data()[:name.function.size].decode(),
        name.file.bytes.data()[:name.file.size].decode(),
        name.line,
    )


cdef tuple tally_of(const StackTally& tally):
    return tally.ticks, tally.waited, tally.native, tally.retaken


cdef tuple stacks_of(const StacksReading& reading):
    """Stacks with their thread's serial and their tally; the tallies of those folded and unknown."""
    cdef list frames = [None] * reading.frames.size()
    cdef list stacks = []
    cdef size_t i, j
    cdef unsigned int k
    for i in range(reading.stacks.size()):
        for j in range(reading.stacks[i].frames.size()):
            k = reading.stacks[i].frames[j]
            if frames[k] is None:
                frames[k] = frame_of(reading.frames[k])
        stacks.append((
            tuple([frames[k] for k in reading.stacks[i].frames]),
            reading.stacks[i].thread.serial,
            tally_of(reading.stacks[i].tally),
        ))
    return stacks, tally_of(reading.folded), tally_of(reading.unknown)


def held_stack_series(Py_ssize_t count, int64_t pause_ns) -> list[tuple[
        int, int, tuple[tuple[str, str, int], ...]]]:
    """Look `count` times at the GIL's holder, `pause_ns` apart, with the GIL released: for tests.

    Returns of each look what it came to (0 free, 1 whole, 2 unreadable, 3 unnamed), how
    long it took in ns, and the frames of a whole stack, the oldest first.
    """
    if stacks_problem() != NULL:
        raise RuntimeError(stack_problem())
    cdef unique_ptr[ProcessMemory] memory = make_unique[ProcessMemory](process_id())
    cdef unique_ptr[HolderStack] holder = make_unique[HolderStack](
        the_gil[0], memory.get()[0], stacks_offsets())
    cdef unique_ptr[FrameTable] table = make_unique[FrameTable](
        memory.get()[0], stacks_offsets())
    cdef unique_ptr[RawStack] raw = make_unique[RawStack]()
    cdef vector[vector[unsigned int]] seen
    cdef vector[int64_t] spent
    cdef vector[int] outcomes
    cdef HolderMark mark
    cdef int outcome
    cdef int64_t begun
    cdef Py_ssize_t i
    seen.resize(count)
    with nogil:
        for i in range(count):
            sleep_for(pause_ns)
            begun = the_clock.now()
            for _ in range(3):
                outcome = <int>holder.get().look(raw.get(), &mark)
                if outcome == 1 and not table.get().resolve(raw.get()[0], &seen[i]):
                    outcome = 3
                if outcome != 3:
                    break
                seen[i].clear()
            spent.push_back(the_clock.now() - begun)
            outcomes.push_back(outcome)
    frames = [frame_of(table.get()[0][k]) for k in range(table.get().size())]
    return [
        (outcomes[i], spent[i], tuple([frames[k] for k in seen[i]]))
        for i in range(count)
    ]
