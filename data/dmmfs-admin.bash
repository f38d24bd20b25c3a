# bash completion for dmmfs-admin(8)

# A command, what its arguments are (none, migids, files), and its options.
_dmmfs_admin_commands=(
	'plan none -p --quick'
	'create none -h -p'
	'start migids'
	'halt migids --lazy --wait'
	'pause migids'
	'resume migids'
	'upgrade migids'
	'delete migids -f --keep --remove --wait'
	'list none'
	'show migids'
	'stat migids --watch -w'
	'watch none --all -a --watch -w'
	'set migids --property -p'
	'get migids --property -p --describe'
	'where files'
	'fetch files --detach'
	'first files --migration -m'
	'finish migids --lazy --wait'
	'errors migids --state'
	'losses migids --kind --paths'
	'retry migids'
	'waive migids --all'
	'verify migids --full --sample --seed --rate --detach --status --stop'
	'report migids'
	'log migids --follow -f --lines -n'
	'db db --database --state --force -f --quick --keep --take'
)

# From the program's own table, when this is built.
_dmmfs_admin_properties='@NAMES@'

_dmmfs_admin_losses='owner mode set-id acl sacl xattr streams capability dos-attributes flags times holes hard-link reparse-point
name case drift disagreement skipped object other'

_dmmfs_admin_migids()
{
	dmmfs-admin list --json 2>/dev/null | grep -o '"migid": *"\?[^",}]*' | sed 's/^"migid": *"\?//'
}

_dmmfs_admin_db()
{
	case $before in
	db) mapfile -t COMPREPLY < <(compgen -W 'check dump export rebuild' -- "$word") ;;
	check | dump | export | rebuild) mapfile -t COMPREPLY < <(compgen -W "$(_dmmfs_admin_migids)" -- "$word") ;;
	*) compopt -o filenames && mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
	esac
}

_dmmfs_admin()
{
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} names='' command='' arguments='' options=--version line i
	for line in "${_dmmfs_admin_commands[@]}"; do
		names+=" ${line%% *}"
		for ((i = 1; i < COMP_CWORD; i++)); do
			[[ -z $command && ${COMP_WORDS[i]} == "${line%% *}" ]] && read -r command arguments options <<<"$line"
		done
	done
	COMPREPLY=()

	case $before in
	-w | --watch | --wait | -n | --lines | --quick | --sample | --seed | --rate) return ;; # a number
	-p | --property)
		local suffix='='
		[[ $command != get ]] || suffix=''
		[[ -z $suffix ]] || compopt -o nospace
		mapfile -t COMPREPLY < <(compgen -S "$suffix" -W "$_dmmfs_admin_properties" -- "$word")
		return
		;;
	--kind)
		mapfile -t COMPREPLY < <(compgen -W "$_dmmfs_admin_losses" -- "$word")
		return
		;;
	--database)
		mapfile -t COMPREPLY < <(compgen -W 'meta identity dirs files segments links links-ino errors digests' -- "$word")
		return
		;;
	--confdir | --rundir | --state)
		if [[ $command == errors && $before == --state ]]; then
			mapfile -t COMPREPLY < <(compgen -W 'retrying waiting waived fixed' -- "$word")
			return
		fi
		compopt -o filenames && mapfile -t COMPREPLY < <(compgen -d -- "$word")
		return
		;;
	esac
	if [[ $word == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "--json --confdir --rundir --help $options" -- "$word")
		return
	fi
	case $arguments in
	'') mapfile -t COMPREPLY < <(compgen -W "$names" -- "$word") ;;
	migids) mapfile -t COMPREPLY < <(compgen -W "$(_dmmfs_admin_migids)" -- "$word") ;;
	files) compopt -o filenames && mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	db) _dmmfs_admin_db ;;
	esac
}
complete -F _dmmfs_admin dmmfs-admin
