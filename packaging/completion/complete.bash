
# Sets `words` to those of the command line up to the cursor, of which the last
# one is to be completed.  Bash itself has them split at `=` and `:`, too.
_PROGRAM_split() {
  local line=${COMP_LINE:0:COMP_POINT} word blanks
  words=()
  for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
    blanks=${line%%[![:space:]]*}
    line=${line#"$blanks"}
    if [[ -n $blanks || ${#words[@]} -eq 0 ]]; then words+=(""); fi
    # The cursor may be inside of the last one.
    [[ $line == "$word"* ]] || word=$line
    words[-1]+=$word
    line=${line#"$word"}
  done
}

# Sets `plain` to what the shell makes of the word, where that takes no
# expansion but that of the home directory: nothing that was typed is run.
_PROGRAM_plain() {
  plain=$1
  case $plain in
    \"*\" | \'*\') plain=${plain:1:-1} ;;
    \~/*) plain=$HOME${plain:1} ;;
  esac
}

# Sets `type` to what the value of the flag is; "" if it takes none.
_PROGRAM_type_of() {
  type=${_PROGRAM_values[$verb $1]:-${_PROGRAM_values[. $1]:-}}
}

# Adds those of the words that begin as `current` does.
_PROGRAM_offer() {
  local word
  for word; do
    if [[ $word == "$current"* ]]; then COMPREPLY+=("$word"); fi
  done
}

# Offers names, asked of the daemon that the line says.  One that does not
# answer soon is one without names.  $1: the verb that lists them, $2: the
# collection, $3: whether they are to have it before them although `current` has
# not.
_PROGRAM_offer_names() {
  local name names=() before=
  if [[ -n $3 || $current == "$2"/* ]]; then before=$2/; fi
  while read -r name _; do
    # They go into the command line, so they have to be names.
    if [[ $name =~ ^"$2"/([a-z0-9-]+)$ ]]; then
      names+=("$before${BASH_REMATCH[1]}")
    fi
  done < <("$program" "$1" "${server[@]}" --output table \
    --timeout "${_PROGRAM_timeout:-1s}" \
    2>/dev/null </dev/null)
  _PROGRAM_offer "${names[@]}"
}

_PROGRAM_offer_value() {
  local word values
  case $1 in
    FILE | DIR)
      compopt -o filenames 2>/dev/null
      if [[ $1 == DIR ]]; then
        mapfile -t COMPREPLY < <(compgen -d -- "$current")
      else
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
      fi
      ;;
    LISTENER) _PROGRAM_offer_names list listeners "" ;;
    CONNECTION) _PROGRAM_offer_names connections connections "" ;;
    NAME)
      _PROGRAM_offer_names list listeners ""
      if [[ $current == c* ]]; then
        _PROGRAM_offer_names connections connections yes
      fi
      ;;
    *)
      # What is in capitals stands for something that cannot be offered.
      IFS='|' read -ra values <<<"$1"
      for word in "${values[@]}"; do
        if [[ $word != *[[:upper:]]* ]]; then _PROGRAM_offer "$word"; fi
      done
      ;;
  esac
}

# Takes off what stands before a colon, which bash keeps, as it splits there.
_PROGRAM_trim_colon() {
  local kept=${current%"${current##*:}"} i
  if [[ $COMP_WORDBREAKS != *:* ]]; then return; fi
  for ((i = 0; i < ${#COMPREPLY[@]}; i++)); do
    COMPREPLY[i]=${COMPREPLY[i]#"$kept"}
  done
}

_PROGRAM() {
  local words program plain verb=. type flag current arguments=() server=()
  local IFS=$' \t\n'  # Whatever the user's is.
  local -i i last given=0
  COMPREPLY=()
  _PROGRAM_split
  last=$((${#words[@]} - 1))
  _PROGRAM_plain "${words[0]}"
  program=$plain
  current=${words[last]}
  for ((i = 1; i < last; i++)); do
    flag=${words[i]%%=*}
    case ${words[i]} in
      --)
        # A command follows, and what is its own.
        if ((i + 1 == last)); then
          mapfile -t COMPREPLY < <(compgen -c -- "$current")
        else
          _PROGRAM_offer_value FILE
        fi
        return
        ;;
      -*=*) plain=${words[i]#*=} ;;
      -*)
        _PROGRAM_type_of "$flag"
        if [[ -z $type ]]; then continue; fi
        if ((++i == last)); then
          _PROGRAM_offer_value "$type"
          _PROGRAM_trim_colon
          return
        fi
        plain=${words[i]}
        ;;
      *)
        if [[ $verb == . && -n $_PROGRAM_verbs ]]; then
          verb=${words[i]}
        else
          given+=1
        fi
        continue
        ;;
    esac
    case $flag in
      --server | --tls-*)
        _PROGRAM_plain "$plain"
        server+=("$flag" "$plain")
        ;;
    esac
  done
  case $current in
    -*=*)
      flag=${current%%=*}
      current=${current#*=}
      _PROGRAM_type_of "$flag"
      _PROGRAM_offer_value "$type"
      if [[ $COMP_WORDBREAKS != *=* ]]; then
        COMPREPLY=("${COMPREPLY[@]/#/$flag=}")
      fi
      ;;
    -*)
      # shellcheck disable=SC2086  # One word for each flag.
      _PROGRAM_offer ${_PROGRAM_flags[.]}
      if [[ $verb != . ]]; then
        # shellcheck disable=SC2086
        _PROGRAM_offer ${_PROGRAM_flags[$verb]:-}
      fi
      ;;
    *)
      if [[ $verb == . && -n $_PROGRAM_verbs ]]; then
        # shellcheck disable=SC2086  # One word for each verb.
        _PROGRAM_offer $_PROGRAM_verbs
      else
        read -ra arguments <<<"${_PROGRAM_arguments[$verb]:-}"
        _PROGRAM_offer_value "${arguments[given]:-}"
      fi
      ;;
  esac
  _PROGRAM_trim_colon
}

complete -F _PROGRAM PROGRAM
