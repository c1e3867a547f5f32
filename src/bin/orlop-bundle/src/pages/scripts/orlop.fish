# fish completion of orlop. The program itself says what may follow.

function __orlop_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l program (string replace -r '^~/' "$HOME/" -- $words[1])
    command $program completion fish -- $words 2>/dev/null
end

for program in orlop orlop-bundle
    complete -c $program -f -k -a '(__orlop_complete)'
end
