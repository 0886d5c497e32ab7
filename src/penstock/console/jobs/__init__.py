"""Operations that people start on a page: they run in the console's process and are kept in penstock-state.

job        what is kept of one, and how it is read
board      all of them: started, looked at, asked to stop; by compare-and-set
report     what an operation has to say while it runs, in bounded form
work       which operation each kind of job is
keeper     runs them in threads under leases, and takes up what another console left
activity   who did what, when, with which result
"""
