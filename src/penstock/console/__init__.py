"""The console: penstock's commands as pages in a browser. It needs the extra `console`.

app       the application: pages, their routes, static files
server    the same in a thread, by uvicorn
desk      what a page works with: settings, looks, templates, who asks
looks     what is read once for all viewers
live      the stream of what changes on a page
words     how numbers and times are written
security  tokens, sessions, and the guard in front of all pages
jobs      operations that people start here, kept under leases; who did what
acting    what the pages that act share
pages     one module for each page; its template has the same name
"""
