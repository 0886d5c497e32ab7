"""Who may see and do what.

tokens    the two tokens, read from their files
sessions  the cookie of somebody who logged in
attempts  how often a wrong token may be tried
origin    where a request comes from, and for which name it was meant
guard     joins them, in front of every page
headers   the headers of every response
"""
