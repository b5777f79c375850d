"""`mera serve`: a page on this machine for people, and the JSON endpoints behind it for programs.

The models run in processes of their own (`engine`), each started with the program of its stage; here are the answers'
forms (`messages`), who may ask (`guard`), the endpoints (`app`) and the page (`templates`).
"""
